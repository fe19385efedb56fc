import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import {
  type Asked,
  Gone,
  type IAnswers,
  Refusal,
  TARGET
} from '../protocol/guards';
import type { Answer, Progress, Snapshot } from '../protocol/messages';
import { Busy } from './busy';
import { Channel } from './channel';
import { mentions, probe } from './probe';

/**
 * How things stand with a kernel: `ready` is the only state in which it can be asked.
 *
 * `elsewhere`: another document of this page handles the comms of this kernel.
 */
export type LinkState =
  | 'connecting'
  | 'absent'
  | 'outdated'
  | 'mismatch'
  | 'elsewhere'
  | 'dead'
  | 'ready';

/** All that the panel knows of one kernel; comes back by itself after a restart. */
export class KernelLink implements IDisposable {
  constructor(kernel: Kernel.IKernelConnection, extension: string) {
    this.kernel = kernel;
    this._extension = extension;
    this._busy = new Busy(kernel);
    this._busy.changed.connect(() => this._changed.emit());
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.connectionStatusChanged.connect(this._onConnection, this);
    kernel.iopubMessage.connect(this._onMessage, this);
    kernel.disposed.connect(this.dispose, this);
    // A running cell would keep a probe waiting, but not a comm.
    void this._connect(kernel.status !== 'busy');
  }

  readonly kernel: Kernel.IKernelConnection;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get disposed(): ISignal<this, void> {
    return this._disposed;
  }

  get state(): LinkState {
    return this._state;
  }

  /** The networks of the kernel, as it told them last. */
  get snapshot(): Snapshot | null {
    return this._snapshot;
  }

  /** What is being done to a network just now. */
  get progress(): Progress | null {
    return this._progress;
  }

  /** Whether a cell runs, or something is being done to a network. */
  get busy(): boolean {
    return this._busy.running || this._progress !== null;
  }

  /** In the state `mismatch`: the version of the protocol that the kernel speaks. */
  get theirs(): number | undefined {
    return this._theirs;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._turn++;
    const { kernel } = this;
    kernel.statusChanged.disconnect(this._onStatus, this);
    kernel.connectionStatusChanged.disconnect(this._onConnection, this);
    kernel.iopubMessage.disconnect(this._onMessage, this);
    kernel.disposed.disconnect(this.dispose, this);
    this._busy.dispose();
    this._drop();
    this._disposed.emit();
    Signal.clearData(this);
  }

  /**
   * Ask the kernel.
   *
   * @throws Refusal or Gone, see `Channel.ask`.
   */
  async ask<Q extends Asked>(question: Q): Promise<IAnswers[Q['type']]> {
    if (!this._channel || this._state !== 'ready') {
      throw new Gone();
    }
    return this._channel.ask(question);
  }

  private async _connect(probing: boolean): Promise<void> {
    const turn = ++this._turn;
    const late = () => turn !== this._turn;
    const { kernel } = this;
    if (!kernel.handleComms) {
      return this._become('elsewhere');
    }
    try {
      const found = probing ? await probe(kernel) : 'loaded';
      if (late()) {
        return;
      }
      this._drop();
      if (found !== 'loaded') {
        return this._become(found);
      }
      const channel = this._open();
      await this._subshell(this._comm);
      if (late()) {
        return;
      }
      await channel.open(this._extension);
      if (!late()) {
        this._become('ready');
      }
    } catch (error) {
      if (!late()) {
        this._fail(error);
      }
    }
  }

  private _open(): Channel {
    this._comm = this.kernel.createComm(TARGET);
    const channel = new Channel(this._comm);
    channel.said.connect(this._onSaid, this);
    channel.closed.connect(this._onClosed, this);
    this._channel = channel;
    return channel;
  }

  /** Wait until questions can be answered while a cell runs, where the kernel can do that. */
  private async _subshell(comm: Kernel.IComm | null): Promise<void> {
    const enabled = String(comm?.commsOverSubshells) !== 'disabled';
    if (comm && enabled && this.kernel.supportsSubshells) {
      // No part of the interface of a comm, but of all that there are.
      const { subshellStarted } = comm as { subshellStarted?: Promise<void> };
      // Without one it works as well, only later.
      await subshellStarted?.catch(() => undefined);
    }
  }

  private _fail(error: unknown): void {
    this._drop();
    if (error instanceof Refusal && error.code === 'version') {
      this._theirs = error.version;
      this._become('mismatch');
    } else {
      this._become('absent');
    }
  }

  private _drop(gone = this.kernel.isDisposed): void {
    if (gone) {
      this._channel?.forget();
    } else {
      this._channel?.dispose();
    }
    this._channel = null;
    this._comm = null;
    this._snapshot = null;
    this._progress = null;
    this._theirs = undefined;
  }

  private _become(state: LinkState): void {
    this._state = state;
    this._changed.emit();
  }

  private _onSaid(_: Channel, said: Answer): void {
    if (said.type === 'snapshot') {
      if (this._snapshot && said.revision < this._snapshot.revision) {
        return;
      }
      this._snapshot = said;
    } else if (said.type === 'progress') {
      this._progress = said.phase === null ? null : said;
    }
    this._changed.emit();
  }

  private _onClosed(): void {
    const was = this._state;
    this._drop();
    this._become(was === 'connecting' ? 'absent' : 'connecting');
    if (was === 'ready') {
      // Unloaded, or loaded anew.
      void this._connect(true);
    }
  }

  private _onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    if (this._state !== 'ready' && mentions(message)) {
      void this._connect(true);
    }
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    switch (status) {
      case 'restarting':
      case 'autorestarting':
        this._leave('connecting');
        break;
      case 'dead':
      case 'terminating':
        this._leave('dead');
        break;
      case 'idle':
        if (this._restarted) {
          this._restarted = false;
          void this._connect(true);
        }
    }
  }

  private _leave(state: LinkState): void {
    this._turn++;
    this._restarted = true;
    this._drop(true);
    this._become(state);
  }

  private _onConnection(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === 'connected' && this._state === 'ready') {
      // The page was cut off, and may have missed something.
      this.ask({ type: 'snapshot' }).catch(() => undefined);
    }
  }

  private readonly _extension: string;
  private readonly _busy: Busy;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _disposed = new Signal<this, void>(this);
  private _channel: Channel | null = null;
  private _comm: Kernel.IComm | null = null;
  private _state: LinkState = 'connecting';
  private _snapshot: Snapshot | null = null;
  private _progress: Progress | null = null;
  private _theirs: number | undefined;
  /** Grows with every attempt, so that an earlier one that comes late is dropped. */
  private _turn = 0;
  private _restarted = false;
  private _isDisposed = false;
}
