import type { PanelModel } from './panel';
import * as lines from './lines';

/** What can be done to a network. */
export type Action = 'prune' | 'dryRun' | 'undo' | 'redo' | 'reset' | 'export';

/** Why something cannot be done now. */
export type Blocked =
  /** A cell runs. */
  | { readonly code: 'busy' }
  /** The prediction is not there yet. */
  | { readonly code: 'waiting' }
  /** A field of the form makes no sense. */
  | { readonly code: 'fault' }
  /** There is no network, or no kernel. */
  | { readonly code: 'nothing' }
  | { readonly code: 'file' }
  /** The kernel says why. */
  | { readonly code: 'told'; readonly reason: string };

/** Why an action has to wait; null if it can be done. */
export function blocked(panel: PanelModel, action: Action): Blocked | null {
  const network = panel.network;
  const history = network?.data?.history;
  if (!network || !history) {
    return { code: 'nothing' };
  }
  if (panel.isBusy) {
    return { code: 'busy' };
  }
  switch (action) {
    case 'undo':
    case 'reset':
      return told(history.undo);
    case 'redo':
      return told(history.redo);
    case 'export':
      return network.file.trim() && lines.isWord(network.file)
        ? null
        : { code: 'file' };
    default:
      if (network.fault) {
        return { code: 'fault' };
      }
      if (network.foretold.state === 'refused') {
        return { code: 'told', reason: network.foretold.reason };
      }
      return network.line ? null : { code: 'waiting' };
  }
}

/** The command that does an action; empty if there is none. */
export function line(panel: PanelModel, action: Action): string {
  const network = panel.network;
  const position = network?.data?.history.position;
  if (!network || position === undefined) {
    return '';
  }
  switch (action) {
    case 'prune':
      return network.line;
    case 'dryRun':
      return network.line && `${network.line} --dry-run`;
    case 'undo':
      return lines.jump(network.name, position, position - 1);
    case 'redo':
      return lines.jump(network.name, position, position + 1);
    case 'reset':
      return lines.reset(network.name);
    case 'export':
      return lines.write(network.name, network.file);
  }
}

function told(ability: { steps: number; reason: string }): Blocked | null {
  return ability.steps ? null : { code: 'told', reason: ability.reason };
}
