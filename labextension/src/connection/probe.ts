import type { Kernel, KernelMessage } from '@jupyterlab/services';

import { TARGET } from '../protocol/guards';

/**
 * What there is of spa_kernel in a kernel: nothing, a version that knows no panel, or all.
 */
export type Found = 'absent' | 'outdated' | 'loaded';

const NAME = 'spa';
const EXPRESSION =
  `"${TARGET}" in __import__("comm").get_comm_manager().targets, ` +
  'hasattr(get_ipython(), "_spa_magics")';
const FOUND: Record<string, Found> = {
  '(True, True)': 'loaded',
  '(True, False)': 'loaded',
  '(False, True)': 'outdated'
};
const TRIES = 5;

/**
 * Ask a kernel whether spa_kernel is loaded there; the answer comes when no cell runs.
 *
 * Opening a comm would tell as well, but a kernel that does not know its target writes an error
 * into the server's log.
 */
export async function probe(kernel: Kernel.IKernelConnection): Promise<Found> {
  const info = await kernel.info;
  if (info.language_info.name !== 'python') {
    return 'absent';
  }
  for (let tried = 0; tried < TRIES && !kernel.isDisposed; tried++) {
    const future = kernel.requestExecute({
      code: '',
      silent: true,
      store_history: false,
      user_expressions: { [NAME]: EXPRESSION }
    });
    const { content } = await future.done;
    if (content.status === 'ok') {
      return FOUND[text(content.user_expressions[NAME])] ?? 'absent';
    }
    // A cell before it failed, and what waited behind that was thrown away: ask again.
  }
  return 'absent';
}

/** Whether a message says that code is run which may load spa_kernel. */
export function mentions(message: KernelMessage.IIOPubMessage): boolean {
  return (
    message.header.msg_type === 'execute_input' &&
    /spa_kernel/.test((message as KernelMessage.IExecuteInputMsg).content.code)
  );
}

function text(expression: unknown): string {
  const { data } = (expression ?? {}) as { data?: Record<string, unknown> };
  return String(data?.['text/plain']);
}
