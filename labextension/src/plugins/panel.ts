import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Throttler } from '@lumino/polling';

import { addCommands, CommandIDs } from '../commands';
import { Links } from '../connection/links';
import { Follower } from '../follower';
import { PanelModel } from '../model/panel';
import { Recorder } from '../recorder';
import { DOMAIN, IPanelModel } from '../tokens';
import { version } from '../version';
import { PanelWidget } from '../widget';

const ID = 'spa-kernel:plugin';
const RANK = 900;

/** The panel at the right. */
export const panel: JupyterFrontEndPlugin<IPanelModel> = {
  id: ID,
  description: 'A side panel to prune the networks in the kernel.',
  autoStart: true,
  provides: IPanelModel,
  requires: [INotebookTracker],
  optional: [
    ITranslator,
    ICommandPalette,
    ILayoutRestorer,
    ISettingRegistry,
    ISessionContextDialogs
  ],
  activate
};

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  translator: ITranslator | null,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null,
  settings: ISettingRegistry | null,
  dialogs: ISessionContextDialogs | null
): IPanelModel {
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const model = new PanelModel(new Links(version));
  const recorder = new Recorder({ tracker, dialogs, translator, trans });
  const follower = new Follower(tracker, model, recorder);
  const widget = new PanelWidget(model, trans);
  app.shell.add(widget, 'right', { rank: RANK, type: 'SPA' });
  restorer?.add(widget, widget.id);

  const show = () => app.shell.activateById(widget.id);
  const commands = addCommands({ app, model, trans, palette, show });
  const notify = new Throttler(() => {
    Object.values(CommandIDs).forEach(id =>
      app.commands.notifyCommandChanged(id)
    );
  }, 250);
  model.changed.connect(() => void notify.invoke());

  settings
    ?.load(ID)
    .then(loaded => {
      const read = () => {
        recorder.recordAs =
          loaded.get('recordAs').composite === 'copy' ? 'copy' : 'run';
      };
      loaded.changed.connect(read);
      read();
    })
    .catch((reason: Error) => {
      console.error(`The settings of ${ID} could not be read.`, reason);
    });

  widget.disposed.connect(() => {
    notify.dispose();
    commands.dispose();
    follower.dispose();
    recorder.dispose();
    model.dispose();
  });
  return model;
}
