import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

/**
 * Whether a kernel runs a cell.
 *
 * The status of the kernel does not say so: an answer on a subshell sets it to idle in the middle
 * of a long cell. Only messages that belong to an execution count here.
 */
export class Busy implements IDisposable {
  constructor(kernel: Kernel.IKernelConnection) {
    this._kernel = kernel;
    this._running = kernel.status === 'busy';
    kernel.iopubMessage.connect(this._onMessage, this);
    kernel.statusChanged.connect(this._onStatus, this);
  }

  get running(): boolean {
    return this._running;
  }

  get changed(): ISignal<this, boolean> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._kernel.iopubMessage.disconnect(this._onMessage, this);
    this._kernel.statusChanged.disconnect(this._onStatus, this);
    Signal.clearData(this);
  }

  private _onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    const parent = message.parent_header;
    if (
      message.header.msg_type !== 'status' ||
      !('msg_type' in parent) ||
      parent.msg_type !== 'execute_request'
    ) {
      return;
    }
    const { execution_state: state } =
      message.content as KernelMessage.IStatusMsg['content'];
    this._set(state === 'busy');
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (status !== 'idle' && status !== 'busy') {
      this._set(false);
    }
  }

  private _set(running: boolean): void {
    if (running !== this._running) {
      this._running = running;
      this._changed.emit(running);
    }
  }

  private readonly _kernel: Kernel.IKernelConnection;
  private readonly _changed = new Signal<this, boolean>(this);
  private _running: boolean;
  private _isDisposed = false;
}
