import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { KernelLink } from '../connection/link';

/** A model in the notebook's variables. */
export interface ICandidate {
  readonly name: string;
  readonly kind: string;
  readonly framework: 'torch' | 'onnx' | 'keras' | 'jax' | 'mxnet' | 'other';
  readonly params: number | null;
  readonly analysed: boolean;
  /** Whether an example input must be given. */
  readonly input: boolean;
}

/** What could be analysed in a kernel, and what was typed for it. */
export class Candidates implements IDisposable {
  constructor(link: KernelLink) {
    this._link = link;
    link.changed.connect(this._onLink, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether they are shown; only then the kernel is asked. */
  get isOpen(): boolean {
    return this._isOpen;
  }
  set isOpen(isOpen: boolean) {
    this._isOpen = isOpen;
    this._changed.emit();
    if (isOpen) {
      void this.refresh();
    }
  }

  /** Null until the kernel has answered. */
  get list(): readonly ICandidate[] | null {
    return this._list;
  }

  /** The example input that was typed for a model. */
  example(name: string): string {
    return this._examples.get(name) ?? '';
  }

  setExample(name: string, example: string): void {
    this._examples.set(name, example);
    this._changed.emit();
  }

  /** Ask the kernel. */
  async refresh(): Promise<void> {
    const said = await this._link.ask({ type: 'candidates' }).catch(() => null);
    if (!said || this._isDisposed) {
      return;
    }
    this._list = said.name.map((name, i) => ({
      name,
      kind: said.kind[i],
      framework: said.framework[i],
      params: said.params[i],
      analysed: said.analysed[i],
      input: said.input[i]
    }));
    this._changed.emit();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._link.changed.disconnect(this._onLink, this);
    Signal.clearData(this);
  }

  private _onLink(): void {
    const { busy, state } = this._link;
    const rests = !busy && state === 'ready';
    if (state !== 'ready') {
      this._list = null;
    }
    // A cell has run that may have made a model.
    if (rests && !this._rested && this._isOpen) {
      void this.refresh();
    }
    this._rested = rests;
  }

  private readonly _link: KernelLink;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _examples = new Map<string, string>();
  private _list: readonly ICandidate[] | null = null;
  private _isOpen = false;
  private _rested = false;
  private _isDisposed = false;
}
