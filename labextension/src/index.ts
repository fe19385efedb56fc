import { launcher } from './plugins/launcher';
import { panel } from './plugins/panel';
import { status } from './plugins/status';

export default [panel, status, launcher];
