import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { spaIcon } from './icons';
import type { PanelModel } from './model/panel';
import { Panel } from './views/panel';

/** The side panel. */
export class PanelWidget extends ReactWidget {
  constructor(model: PanelModel, trans: TranslationBundle) {
    super();
    this._model = model;
    this._trans = trans;
    this.id = 'spa-kernel-panel';
    this.addClass('spa-Panel');
    this.title.icon = spaIcon;
    this.title.caption = trans.__('SPA: prune the networks of this notebook');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('SPA'));
  }

  protected override render(): React.JSX.Element {
    const { _model: model, _trans: trans } = this;
    return (
      <UseSignal signal={model.changed}>
        {() => <Panel model={model} trans={trans} />}
      </UseSignal>
    );
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._model.isWatched = true;
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._model.isWatched = false;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._model.isWatched = this.isVisible;
  }

  private readonly _model: PanelModel;
  private readonly _trans: TranslationBundle;
}
