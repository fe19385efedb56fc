import type { TranslationBundle } from '@jupyterlab/translation';

import type { Blocked } from '../model/actions';
import type { Fault } from '../model/form';

/** Why an action has to wait, in words. */
export function reason(trans: TranslationBundle, blocked: Blocked): string {
  switch (blocked.code) {
    case 'busy':
      return trans.__('The kernel is busy: this waits until the cell is done.');
    case 'waiting':
      return trans.__('The prediction is still being worked out.');
    case 'fault':
      return trans.__('A field above does not make sense yet.');
    case 'nothing':
      return trans.__('There is no network.');
    case 'file':
      return trans.__('Give the name of a file to write.');
    case 'told':
      return blocked.reason;
  }
}

/** What is wrong with a field, in words. */
export function complaint(trans: TranslationBundle, fault: Fault): string {
  switch (fault) {
    case 'value':
      return trans.__('A factor above 1, or a share between 0 and 1.');
    case 'roundTo':
    case 'steps':
      return trans.__('A whole number from 1 on.');
    case 'exclude':
      return trans.__('Names with commas between them, such as head,layer4*.');
    case 'data':
    case 'loss':
      return trans.__(
        'This criterion needs it: a variable, or a line of Python with one kind of quotes.'
      );
  }
}
