import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStatusBar, TextItem } from '@jupyterlab/statusbar';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { CommandIDs } from '../commands';
import { times } from '../format';
import { DOMAIN, IPanelModel } from '../tokens';

/** The chosen network and how much cheaper it is, in the status bar. */
export const status: JupyterFrontEndPlugin<void> = {
  id: 'spa-kernel:status',
  description:
    'The chosen network and how much cheaper it is, in the status bar.',
  autoStart: true,
  requires: [IPanelModel, IStatusBar],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IPanelModel,
    bar: IStatusBar,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const item = ReactWidget.create(
      <UseSignal signal={model.changed}>
        {() => (
          <Status
            model={model}
            trans={trans}
            onOpen={() => void app.commands.execute(CommandIDs.open)}
          />
        )}
      </UseSignal>
    );
    item.addClass('jp-mod-highlighted');
    bar.registerStatusItem('spa-kernel:status', {
      item,
      align: 'left',
      rank: 90,
      isActive: () => model.network?.data !== null && model.network !== null,
      activeStateChanged: model.changed
    });
  }
};

function Status(props: {
  model: IPanelModel;
  trans: TranslationBundle;
  onOpen: () => void;
}): React.JSX.Element | null {
  const { model, trans, onOpen } = props;
  const data = model.network?.data;
  if (!data) {
    return null;
  }
  const [start, now] = data.flops;
  const text =
    now === start
      ? trans.__('%1: not pruned', data.name)
      : trans.__('%1: %2 fewer FLOPs', data.name, times(start, now));
  return (
    <TextItem
      source={text}
      title={trans.__('Open the SPA panel')}
      role="button"
      tabIndex={0}
      onClick={onOpen}
      onKeyDown={event => {
        if (event.key === 'Enter' || event.key === ' ') {
          onOpen();
        }
      }}
    />
  );
}
