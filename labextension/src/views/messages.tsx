import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { PanelModel } from '../model/panel';
import { VERSION } from '../protocol/guards';
import { type IPart, WaitingButton } from './parts';

/** What is said where there is nothing to show. */
export function Message({ model, trans }: IPart): React.JSX.Element {
  const { link } = model;
  const canLoad = link?.state === 'absent';
  return (
    <div className="spa-Panel-message" role="status">
      <p>{words(model, trans)}</p>
      {canLoad && (
        <WaitingButton
          label={trans.__('Load spa_kernel here')}
          caption={trans.__('Run %load_ext spa_kernel in a new cell')}
          primary
          trans={trans}
          blocked={model.isBusy ? { code: 'busy' } : null}
          onClick={() => void model.load()}
        />
      )}
    </div>
  );
}

function words(model: PanelModel, trans: TranslationBundle): string {
  const { link } = model;
  switch (link?.state) {
    case undefined:
      return model.hasNotebook
        ? trans.__(
            'This notebook has no kernel. Choose one with Kernel → Change Kernel.'
          )
        : trans.__('Open a notebook: this panel shows its networks.');
    case 'connecting':
      return link?.busy
        ? trans.__('The kernel is busy. The panel appears when it is ready.')
        : trans.__('Waiting for the kernel …');
    case 'absent':
      return trans.__(
        'spa_kernel is not loaded in the kernel of this notebook.'
      );
    case 'outdated':
      return trans.__(
        'spa_kernel in this kernel is older than the JupyterLab extension and knows no panel. Update the package in the kernel’s environment and restart the kernel.'
      );
    case 'mismatch':
      return (link?.theirs ?? 0) > VERSION
        ? trans.__(
            'spa_kernel in this kernel is newer than the JupyterLab extension. Update the package in the environment that JupyterLab runs in, restart JupyterLab and reload this page.'
          )
        : trans.__(
            'spa_kernel in this kernel is older than the JupyterLab extension. Update the package in the kernel’s environment and restart the kernel.'
          );
    case 'elsewhere':
      return trans.__(
        'Another document of this page speaks for this kernel. Close that one, or look at its panel.'
      );
    case 'dead':
      return trans.__('The kernel is dead. Restart it to go on.');
    case 'ready':
      return trans.__(
        'There is no model in this notebook yet: run the cell that makes it.'
      );
  }
}
