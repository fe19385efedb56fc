import type { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import { type Asked, Gone, Refusal } from '../protocol/guards';
import type { PredictQuestion, Prediction } from '../protocol/messages';

/** What is known of the prune that a form stands for. */
export type Foretold =
  | { readonly state: 'none' }
  | { readonly state: 'waiting'; readonly last: Prediction | null }
  | { readonly state: 'done'; readonly prediction: Prediction }
  /** It cannot be foretold, but done: the criterion needs data. */
  | { readonly state: 'blind'; readonly line: string; readonly reason: string }
  | { readonly state: 'refused'; readonly reason: string };

type Wish = Asked<PredictQuestion>;

const PATIENCE = 200;

/** Keeps a prediction up to date; asks no more often than it is answered. */
export class Predictor implements IDisposable {
  constructor(
    ask: (question: Wish) => Promise<Prediction>,
    patience: number = PATIENCE
  ) {
    this._ask = ask;
    this._debouncer = new Debouncer(() => this._send(), patience);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get foretold(): Foretold {
    return this._foretold;
  }

  get isDisposed(): boolean {
    return this._debouncer.isDisposed;
  }

  dispose(): void {
    this._wish = null;
    this._debouncer.dispose();
    Signal.clearData(this);
  }

  /** Ask for another prune, soon; null if there is none to ask for. */
  want(wish: Wish | null): void {
    this._wish = wish;
    if (!wish) {
      this._become({ state: 'none' });
      return;
    }
    const { _foretold: was } = this;
    const last =
      was.state === 'done'
        ? was.prediction
        : was.state === 'waiting'
          ? was.last
          : null;
    this._become({ state: 'waiting', last });
    this._soon();
  }

  /** Ask once more, if the kernel had no time. */
  again(): void {
    if (this._foretold.state === 'waiting' && !this._asking) {
      this._soon();
    }
  }

  private _soon(): void {
    // A call that was debounced away is rejected; the last one answers for all.
    this._debouncer.invoke().catch(() => undefined);
  }

  private async _send(): Promise<void> {
    const wish = this._wish;
    if (!wish || this._asking) {
      return;
    }
    this._asking = true;
    const answer = await this._ask(wish).then(
      (prediction): Foretold => ({ state: 'done', prediction }),
      refusal
    );
    this._asking = false;
    if (this.isDisposed) {
      return;
    }
    if (wish !== this._wish) {
      this._soon();
    } else if (answer) {
      this._become(answer);
    }
  }

  private _become(foretold: Foretold): void {
    this._foretold = foretold;
    this._changed.emit();
  }

  private readonly _ask: (question: Wish) => Promise<Prediction>;
  private readonly _debouncer: Debouncer<void, void>;
  private readonly _changed = new Signal<this, void>(this);
  private _foretold: Foretold = { state: 'none' };
  private _wish: Wish | null = null;
  private _asking = false;
}

/** What an error tells of a prune; null if only that it has to be asked for again. */
function refusal(error: unknown): Foretold | null {
  if (error instanceof Gone) {
    return { state: 'none' };
  }
  if (!(error instanceof Refusal)) {
    return { state: 'refused', reason: String(error) };
  }
  switch (error.code) {
    case 'busy':
      return null;
    case 'data':
      return {
        state: 'blind',
        line: error.line ?? '',
        reason: error.message
      };
    default:
      return { state: 'refused', reason: error.message };
  }
}
