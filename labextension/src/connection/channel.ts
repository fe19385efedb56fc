import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import {
  answer,
  type Asked,
  Gone,
  type IAnswers,
  Refusal,
  VERSION
} from '../protocol/guards';
import type { Answer, Question } from '../protocol/messages';

interface IWaiting {
  resolve: (answer: Answer) => void;
  reject: (reason: Error) => void;
}

/** Questions and answers over one comm. */
export class Channel implements IDisposable {
  constructor(comm: Kernel.IComm) {
    this._comm = comm;
    comm.onMsg = this._onMessage;
    comm.onClose = this._onClose;
  }

  /** What the kernel says without being asked, and every snapshot. */
  get said(): ISignal<this, Answer> {
    return this._said;
  }

  /** The kernel closed the comm. */
  get closed(): ISignal<this, void> {
    return this._closed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Close the comm. */
  dispose(): void {
    if (!this._isDisposed && !this._comm.isDisposed) {
      this._silence();
      this._comm.close();
    }
    this.forget();
  }

  /** Leave the comm to a kernel that goes, and takes it along. */
  forget(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._silence();
    this._abandon();
    Signal.clearData(this);
  }

  /** Say hello, with which the comm is opened. */
  open(extension: string): Promise<IAnswers['hello']> {
    const id = this._next++;
    const waiting = this._wait(id);
    const hello: Question = { type: 'hello', id, version: VERSION, extension };
    this._comm.open(hello as unknown as JSONObject);
    return waiting as Promise<IAnswers['hello']>;
  }

  /**
   * Ask a question.
   *
   * @throws Refusal if the kernel cannot answer it, Gone if there is no kernel any more.
   */
  ask<Q extends Asked>(question: Q): Promise<IAnswers[Q['type']]> {
    if (this._isDisposed) {
      return Promise.reject(new Gone());
    }
    const id = this._next++;
    const waiting = this._wait(id);
    this._comm.send({ ...question, id } as unknown as JSONObject);
    return waiting as Promise<IAnswers[Q['type']]>;
  }

  private _wait(id: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this._waiting.set(id, { resolve, reject });
    });
  }

  private _silence(): void {
    this._comm.onMsg = () => undefined;
    this._comm.onClose = () => undefined;
  }

  private _abandon(): void {
    const waiting = [...this._waiting.values()];
    this._waiting.clear();
    waiting.forEach(({ reject }) => reject(new Gone()));
  }

  private _onMessage = (message: KernelMessage.ICommMsgMsg): void => {
    const said = answer(message.content.data);
    if (!said) {
      return;
    }
    if (said.id === null || said.type === 'snapshot') {
      this._said.emit(said);
    }
    const waiting = said.id === null ? undefined : this._waiting.get(said.id);
    if (said.id === null || !waiting) {
      return;
    }
    this._waiting.delete(said.id);
    if (said.type === 'error') {
      waiting.reject(new Refusal(said));
    } else {
      waiting.resolve(said);
    }
  };

  private _onClose = (): void => {
    this._abandon();
    this._closed.emit();
  };

  private readonly _comm: Kernel.IComm;
  private readonly _waiting = new Map<number, IWaiting>();
  private readonly _said = new Signal<this, Answer>(this);
  private readonly _closed = new Signal<this, void>(this);
  private _next = 0;
  private _isDisposed = false;
}
