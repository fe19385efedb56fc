import type { Kernel } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { KernelLink } from '../connection/link';
import { Links } from '../connection/links';
import { type Action, blocked, line } from './actions';
import { Candidates } from './candidates';
import * as lines from './lines';
import { NetworkModel } from './network';

/** The notebook that the panel belongs to just now. */
export interface INotebook {
  readonly kernel: Kernel.IKernelConnection;
  /** Put a line into the notebook; resolves when it is done. */
  record(line: string): Promise<void>;
  /** Run a line in a cell in any case. */
  run(line: string): Promise<void>;
}

/** What is kept for a kernel while other notebooks are looked at. */
interface IShelf {
  selected: string;
  /** Whether the list of candidates was opened because there was no network. */
  opened: boolean;
  readonly networks: Map<string, NetworkModel>;
  readonly candidates: Candidates;
}

/** All that the panel shows; views only read it and call its methods. */
export class PanelModel implements IDisposable {
  constructor(links: Links, patience?: number) {
    this._links = links;
    this._patience = patience;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The way to the kernel of the current notebook; null if there is none. */
  get link(): KernelLink | null {
    return this._link;
  }

  /** The networks that can be chosen. */
  get names(): readonly string[] {
    return this._link?.snapshot?.models.map(model => model.name) ?? [];
  }

  /** The chosen network. */
  get network(): NetworkModel | null {
    return this._network;
  }

  /** What could be analysed. */
  get candidates(): Candidates | null {
    return this._shelf?.candidates ?? null;
  }

  /** Whether actions have to wait. */
  get isBusy(): boolean {
    return this._acting || Boolean(this._link?.busy);
  }

  /** Whether the panel is on the screen. */
  get isWatched(): boolean {
    return this._isWatched;
  }
  set isWatched(isWatched: boolean) {
    this._isWatched = isWatched;
    this._sync();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._leave();
    this._links.dispose();
    Signal.clearData(this);
  }

  /** Whether there is a notebook; it may have no kernel. */
  get hasNotebook(): boolean {
    return this._hasNotebook;
  }

  /** Belong to another notebook, or to none, or to one without a kernel. */
  follow(notebook: INotebook | null, isOpen = notebook !== null): void {
    this._notebook = notebook;
    this._hasNotebook = isOpen;
    const link = notebook ? this._links.of(notebook.kernel) : null;
    if (link !== this._link) {
      this._leave();
      this._link = link;
      link?.changed.connect(this._sync, this);
      link?.disposed.connect(this._onGone, this);
    }
    this._sync();
  }

  select(name: string): void {
    if (this._shelf) {
      this._shelf.selected = name;
      this._sync();
    }
  }

  /** Do something to the chosen network, unless it has to wait. */
  async act(action: Action): Promise<void> {
    if (!blocked(this, action)) {
      await this._record(line(this, action));
    }
  }

  /** Go to a step of the history of the chosen network. */
  async jump(step: number): Promise<void> {
    const history = this._network?.data?.history;
    if (this._network && history && !this.isBusy) {
      const { name } = this._network;
      await this._record(lines.jump(name, history.position, step));
    }
  }

  /** Analyse a network, and choose it. */
  async analyse(name: string, example: string): Promise<void> {
    if (this.isBusy || !this._shelf) {
      return;
    }
    const { _shelf: shelf } = this;
    shelf.selected = name;
    shelf.candidates.isOpen = false;
    await this._record(lines.analyse(name, example));
  }

  /** Load spa_kernel in the kernel. */
  async load(): Promise<void> {
    await this._do(notebook => notebook.run(lines.LOAD));
  }

  private _record(text: string): Promise<void> {
    return text
      ? this._do(notebook => notebook.record(text))
      : Promise.resolve();
  }

  private async _do(
    what: (notebook: INotebook) => Promise<void>
  ): Promise<void> {
    const notebook = this._notebook;
    if (!notebook || this._acting) {
      return;
    }
    // The kernel says that it is busy a moment later; a second click must not get in between.
    this._acting = true;
    this._changed.emit();
    try {
      await what(notebook);
    } finally {
      this._acting = false;
      this._changed.emit();
    }
  }

  private _leave(): void {
    this._link?.changed.disconnect(this._sync, this);
    this._link?.disposed.disconnect(this._onGone, this);
    this._choose(null);
    this._link = null;
  }

  private _onGone(link: KernelLink): void {
    if (link === this._link) {
      this._leave();
      this._changed.emit();
    }
  }

  /** The things of the present kernel. */
  private get _shelf(): IShelf | null {
    const link = this._link;
    if (!link) {
      return null;
    }
    let shelf = this._shelves.get(link);
    if (!shelf) {
      const candidates = new Candidates(link);
      candidates.changed.connect(() => this._changed.emit());
      const made = {
        selected: '',
        opened: false,
        networks: new Map<string, NetworkModel>(),
        candidates
      };
      link.disposed.connect(() => {
        candidates.dispose();
        made.networks.forEach(network => network.dispose());
      });
      this._shelves.set(link, made);
      shelf = made;
    }
    return shelf;
  }

  /** Fit to what the kernel says. */
  private _sync(): void {
    const { names, _shelf: shelf } = this;
    if (!shelf || !names.length) {
      this._choose(null);
    } else {
      for (const [name, network] of shelf.networks) {
        if (!names.includes(name)) {
          shelf.networks.delete(name);
          network.dispose();
        }
      }
      const name = names.includes(shelf.selected) ? shelf.selected : names[0];
      this._choose(this._of(shelf, name));
    }
    if (shelf) {
      this._offer(shelf);
    }
    this._changed.emit();
  }

  /** Where there is no network, show what could be analysed. */
  private _offer(shelf: IShelf): void {
    const isEmpty = this._link?.state === 'ready' && !this.names.length;
    if (isEmpty && this._isWatched && !shelf.candidates.isOpen) {
      shelf.opened = true;
      shelf.candidates.isOpen = true;
    } else if (this.names.length && shelf.opened) {
      shelf.opened = false;
      shelf.candidates.isOpen = false;
    }
  }

  private _of(shelf: IShelf, name: string): NetworkModel {
    const link = this._link;
    const known = shelf.networks.get(name);
    if (known || !link) {
      return known as NetworkModel;
    }
    const network = new NetworkModel(link, name, this._patience);
    network.changed.connect(() => {
      if (network === this._network) {
        this._changed.emit();
      }
    });
    shelf.networks.set(name, network);
    return network;
  }

  private _choose(network: NetworkModel | null): void {
    if (this._network && this._network !== network) {
      this._network.isWatched = false;
    }
    this._network = network;
    if (network) {
      network.isWatched = this._isWatched;
    }
  }

  private readonly _links: Links;
  private readonly _patience: number | undefined;
  private readonly _shelves = new WeakMap<KernelLink, IShelf>();
  private readonly _changed = new Signal<this, void>(this);
  private _notebook: INotebook | null = null;
  private _hasNotebook = false;
  private _link: KernelLink | null = null;
  private _network: NetworkModel | null = null;
  private _acting = false;
  private _isWatched = false;
  private _isDisposed = false;
}
