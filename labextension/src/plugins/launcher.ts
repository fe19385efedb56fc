import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { PathExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import type { Contents } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { spaIcon } from '../icons';
import { DOMAIN } from '../tokens';

const COMMAND = 'spa-kernel:open-tutorials';
const NOTEBOOKS = 'notebooks';
const TUTORIALS = 'tutorials';
const QUICKSTART = 'quickstart.ipynb';

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
        app.commands.addCommand(COMMAND, {
          label: trans.__('Pruning tutorial'),
          caption: trans.__('Open the first tutorial of spa_kernel'),
          icon: spaIcon,
          describedBy: { args: { type: 'object', properties: {} } },
          execute: () => app.commands.execute('docmanager:open', { path })
        });
        tiles.add({
          command: COMMAND,
          category: trans.__('Other'),
          rank: 0
        });
      })
      .catch(() => undefined);
  }
};

/**
 * The path of the first notebook in a folder of tutorials, or else of the quickstart.
 *
 * Folders are listed, for what is asked for and not there is an error in the server's log.
 */
async function find(contents: Contents.IManager): Promise<string | null> {
  const top = await names(contents, '');
  const tutorials: string[] = [];
  const others: string[] = [];
  for (const above of top.includes(NOTEBOOKS) ? ['', NOTEBOOKS] : ['']) {
    const inside = above ? await names(contents, above) : top;
    if (inside.includes(TUTORIALS)) {
      const folder = PathExt.join(above, TUTORIALS);
      const [first] = (await names(contents, folder))
        .filter(name => name.endsWith('.ipynb'))
        .sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      tutorials.push(...(first ? [PathExt.join(folder, first)] : []));
    }
    if (inside.includes(QUICKSTART)) {
      others.push(PathExt.join(above, QUICKSTART));
    }
  }
  for (const path of [...tutorials, ...others]) {
    if (await isOurs(contents, path)) {
      return path;
    }
  }
  return null;
}

async function names(
  contents: Contents.IManager,
  folder: string
): Promise<string[]> {
  const { content } = await contents.get(folder);
  return (content as Contents.IModel[]).map(({ name }) => name);
}

async function isOurs(
  contents: Contents.IManager,
  path: string
): Promise<boolean> {
  const { content } = await contents.get(path);
  return JSON.stringify(content).includes('spa_kernel');
}
