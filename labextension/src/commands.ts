import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';

import { spaIcon } from './icons';
import { type Action, blocked } from './model/actions';
import type { PanelModel } from './model/panel';
import { reason } from './views/reasons';

/** The commands of the panel. */
export namespace CommandIDs {
  export const open = 'spa-kernel:open-panel';
  export const analyse = 'spa-kernel:analyse';
  export const load = 'spa-kernel:load';
  export const prune = 'spa-kernel:prune';
  export const dryRun = 'spa-kernel:dry-run';
  export const undo = 'spa-kernel:undo';
  export const redo = 'spa-kernel:redo';
  export const reset = 'spa-kernel:reset';
  export const exportModel = 'spa-kernel:export';
}

const NO_ARGUMENTS = { args: { type: 'object', properties: {} } } as const;

/** Add the commands, and the palette's entries for them. */
export function addCommands(options: {
  app: JupyterFrontEnd;
  model: PanelModel;
  trans: TranslationBundle;
  palette: ICommandPalette | null;
  show: () => void;
}): IDisposable {
  const { app, model, trans, palette, show } = options;
  const { commands } = app;
  const added = new DisposableSet();

  added.add(
    commands.addCommand(CommandIDs.open, {
      label: trans.__('Prune networks (SPA)'),
      caption: trans.__('Open the panel with the networks of this notebook'),
      icon: spaIcon,
      describedBy: NO_ARGUMENTS,
      execute: show
    })
  );
  added.add(
    commands.addCommand(CommandIDs.analyse, {
      label: trans.__('Analyse a Network'),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => model.link?.state === 'ready',
      execute: () => {
        show();
        if (model.candidates) {
          model.candidates.isOpen = true;
        }
      }
    })
  );
  added.add(
    commands.addCommand(CommandIDs.load, {
      label: trans.__('Load spa_kernel in This Kernel'),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => model.link?.state === 'absent' && !model.isBusy,
      execute: () => model.load()
    })
  );

  const act = (id: string, action: Action, label: string) => {
    added.add(
      commands.addCommand(id, {
        label,
        caption: () => {
          const why = blocked(model, action);
          return why ? reason(trans, why) : label;
        },
        describedBy: NO_ARGUMENTS,
        isEnabled: () => blocked(model, action) === null,
        execute: () => model.act(action)
      })
    );
  };
  act(CommandIDs.prune, 'prune', trans.__('Prune as Set in the Panel'));
  act(CommandIDs.dryRun, 'dryRun', trans.__('Show the Plan of a Prune'));
  act(CommandIDs.undo, 'undo', trans.__('Undo the Last Prune'));
  act(CommandIDs.redo, 'redo', trans.__('Redo a Prune'));
  act(CommandIDs.reset, 'reset', trans.__('Take All Prunes Back'));
  act(CommandIDs.exportModel, 'export', trans.__('Export as ONNX'));

  const category = trans.__('SPA');
  for (const command of Object.values(CommandIDs)) {
    const item = palette?.addItem({ command, category });
    if (item) {
      added.add(item);
    }
  }
  return added;
}
