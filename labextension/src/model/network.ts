import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { KernelLink } from '../connection/link';
import type { Criteria, Explanation, Model } from '../protocol/messages';
import {
  asks,
  fault,
  type Fault,
  FORM,
  type IForm,
  options,
  target
} from './form';
import { chosen, type IGroup, lines, type Show } from './groups';
import { fileFor } from './lines';
import { last } from './last';
import { type Foretold, Predictor } from './predictor';
import { type IRow, opens, rows } from './tree';

/** A group whose explanation is open. */
export interface IOpen {
  readonly id: string;
  /** Null until the kernel has answered. */
  readonly explanation: Explanation | null;
  /** Why there is no explanation. */
  readonly problem: string;
}

/** One analysed network: what the kernel tells of it, and what the person has set. */
export class NetworkModel implements IDisposable {
  constructor(link: KernelLink, name: string, patience?: number) {
    this.name = name;
    this._link = link;
    this._predictor = new Predictor(question => link.ask(question), patience);
    this._predictor.changed.connect(() => this._emit());
    this._file = fileFor(name);
    link.changed.connect(this._onLink, this);
  }

  readonly name: string;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What the kernel told last; null if the network is gone. */
  get data(): Model | null {
    return (
      this._link.snapshot?.models.find(model => model.name === this.name) ??
      null
    );
  }

  get criteria(): Criteria | undefined {
    return this._link.snapshot?.criteria;
  }

  get form(): IForm {
    return this._form;
  }

  get fault(): Fault | null {
    return fault(this._form, this.criteria);
  }

  /** What the criterion asks for. */
  get asks(): Criteria['asks'][number] {
    return asks(this._form, this.criteria);
  }

  get foretold(): Foretold {
    return this._predictor.foretold;
  }

  /** The command that does what the form says; empty as long as it is not known. */
  get line(): string {
    const told = this.foretold;
    return told.state === 'done'
      ? told.prediction.line
      : told.state === 'blind'
        ? told.line
        : '';
  }

  get filter(): string {
    return this._filter;
  }
  set filter(filter: string) {
    this._filter = filter;
    this._folded.clear();
    this._emit();
  }

  get show(): Show {
    return this._show;
  }
  set show(show: Show) {
    this._show = show;
    this._folded.clear();
    this._emit();
  }

  /** The name of the file to export to. */
  get file(): string {
    return this._file;
  }
  set file(file: string) {
    this._file = file;
    this._emit();
  }

  get open(): IOpen | null {
    return this._open;
  }

  /** All groups; the same array until something changes. */
  get groups(): readonly IGroup[] {
    const { data } = this;
    const told = this.foretold;
    const prediction =
      told.state === 'done'
        ? told.prediction
        : told.state === 'waiting'
          ? told.last
          : null;
    const widths =
      prediction && prediction.revision === data?.revision
        ? prediction.widths
        : undefined;
    return data ? this._lines(data.groups, widths) : [];
  }

  /** The groups that the filter lets through. */
  get listed(): readonly IGroup[] {
    return this._chosen(this.groups, this._filter, this._show);
  }

  /** The lines of the tree of these groups. */
  get rows(): readonly IRow[] {
    return this._rows(this.listed, this._folds);
  }

  /** Whether a person looks at it; only then the kernel is asked anything. */
  get isWatched(): boolean {
    return this._isWatched;
  }
  set isWatched(isWatched: boolean) {
    if (isWatched !== this._isWatched) {
      this._isWatched = isWatched;
      this._predict();
      this._score();
    }
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
    this._predictor.dispose();
    Signal.clearData(this);
  }

  /** Set some fields of the form. */
  set(fields: Partial<IForm>): void {
    this._form = { ...this._form, ...fields };
    this._predict();
    this._score();
    this._emit();
  }

  /** Open a module of the tree, or close it. */
  fold(path: string, isOpen: boolean): void {
    this._folded.set(path, isOpen);
    this._folds++;
    this._emit();
  }

  /** Open the explanation of a group, or close it. */
  async toggle(group: IGroup): Promise<void> {
    if (this._open?.id === group.id) {
      this._open = null;
      this._emit();
      return;
    }
    const { id, name: layer } = group;
    this._open = { id, explanation: null, problem: '' };
    this._emit();
    const found = await this._link
      .ask({ type: 'explain', model: this.name, layer })
      .then(
        (explanation): IOpen => ({ id, explanation, problem: '' }),
        (error: Error): IOpen => ({
          id,
          explanation: null,
          problem: error.message
        })
      );
    if (!this._isDisposed && this._open?.id === id) {
      this._open = found;
      this._emit();
    }
  }

  private _onLink(): void {
    const { data } = this;
    const revision = data?.revision ?? -1;
    if (revision !== this._revision) {
      this._revision = revision;
      this._open = null;
      this._predict();
    } else if (!this._isWorking) {
      this._predictor.again();
    }
    this._score();
    this._emit();
  }

  /** Whether something is being done to a network, so that the kernel would refuse. */
  private get _isWorking(): boolean {
    return this._link.progress !== null || Boolean(this._link.snapshot?.busy);
  }

  private _predict(): void {
    const { data } = this;
    if (!this._isWatched || !data || this.fault) {
      this._predictor.want(null);
      return;
    }
    this._predictor.want({
      type: 'predict',
      model: this.name,
      target: target(this._form),
      options: options(this._form, this.criteria)
    });
  }

  /** Ask for the sparks of the groups, once for each state of the networks. */
  private _score(): void {
    const { data, criteria } = this;
    const snapshot = this._link.snapshot;
    if (!this._isWatched || !data || !criteria || !snapshot) {
      return;
    }
    const { criterion } = this._form;
    const live = criteria.live[criteria.name.indexOf(criterion)] ?? false;
    const wanted = live ? criterion : FORM.criterion;
    const key = `${snapshot.revision} ${wanted}`;
    const known = data.groups.spark && data.groups.criterion === wanted;
    if (known || key === this._scored || this._link.busy || snapshot.busy) {
      return;
    }
    this._scored = key;
    this._link
      .ask({ type: 'snapshot', criterion: wanted })
      .catch(() => undefined);
  }

  private _emit(): void {
    this._changed.emit();
  }

  private readonly _link: KernelLink;
  private readonly _predictor: Predictor;
  private readonly _changed = new Signal<this, void>(this);
  private _form = FORM;
  private _filter = '';
  private _show: Show = 'all';
  private _file: string;
  private _open: IOpen | null = null;
  private readonly _lines = last(lines);
  private readonly _chosen = last(chosen);
  /** Modules of the tree that a person has opened or closed since the filter was set. */
  private readonly _folded = new Map<string, boolean>();
  private _folds = 0;
  private readonly _rows = last((listed: readonly IGroup[], _: number) =>
    rows(
      listed,
      (path, inside) =>
        this._folded.get(path) ??
        (listed.length < this.groups.length || opens(inside, listed))
    )
  );
  private _revision = -1;
  private _scored = '';
  private _isWatched = false;
  private _isDisposed = false;
}
