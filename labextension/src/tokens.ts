import { Token } from '@lumino/coreutils';

import type { PanelModel } from './model/panel';

/** What the panel shows, for the other plugins of this package. */
export const IPanelModel = new Token<IPanelModel>(
  'spa-kernel:IPanelModel',
  'The networks in the kernel of the current notebook.'
);
export type IPanelModel = PanelModel;

/** Where the texts of this extension are translated. */
export const DOMAIN = 'spa_kernel';
