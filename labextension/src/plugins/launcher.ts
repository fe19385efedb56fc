import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import type { Contents } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { spaIcon } from '../icons';
import { DOMAIN } from '../tokens';

const TUTORIALS = 'spa-kernel:open-tutorials';
const FOLDER = 'notebooks';
const FIRST = 'quickstart.ipynb';

/** A tile that opens the first tutorial, where JupyterLab was started beside the tutorials. */
export const launcher: JupyterFrontEndPlugin<void> = {
  id: 'spa-kernel:launcher',
  description: 'A tile of the launcher that opens the tutorials.',
  autoStart: true,
  requires: [ILauncher],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tiles: ILauncher,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    void app.restored
      .then(() => find(app.serviceManager.contents))
      .then(path => {
        if (!path) {
          return;
        }
        app.commands.addCommand(TUTORIALS, {
          label: trans.__('Pruning tutorial'),
          caption: trans.__('Open the first tutorial of spa_kernel'),
          icon: spaIcon,
          describedBy: { args: { type: 'object', properties: {} } },
          execute: () => app.commands.execute('docmanager:open', { path })
        });
        tiles.add({
          command: TUTORIALS,
          category: trans.__('Other'),
          rank: 0
        });
      })
      .catch(() => undefined);
  }
};

/** The path of the first tutorial, if it is there. */
async function find(contents: Contents.IManager): Promise<string | null> {
  // Folders are listed, for what is asked for and not there is an error in the server's log.
  for (const folder of ['', FOLDER]) {
    const { content } = await contents.get(folder);
    const names = (content as Contents.IModel[]).map(item => item.name);
    const path = folder ? `${folder}/${FIRST}` : FIRST;
    if (names.includes(FIRST) && (await isOurs(contents, path))) {
      return path;
    }
    if (!names.includes(FOLDER)) {
      return null;
    }
  }
  return null;
}

async function isOurs(
  contents: Contents.IManager,
  path: string
): Promise<boolean> {
  const { content } = await contents.get(path);
  return JSON.stringify(content).includes('%load_ext spa_kernel');
}
