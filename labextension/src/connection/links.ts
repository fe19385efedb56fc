import type { Kernel } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';

import { KernelLink } from './link';

/** One link for each kernel, however many notebooks use it. */
export class Links implements IDisposable {
  constructor(extension: string) {
    this._extension = extension;
  }

  /** The link of a kernel, which lives as long as its connection. */
  of(kernel: Kernel.IKernelConnection): KernelLink {
    const known = this._links.get(kernel.id);
    if (known && !known.isDisposed) {
      if (known.state !== 'elsewhere' || !kernel.handleComms) {
        return known;
      }
      known.dispose();
    }
    const link = new KernelLink(kernel, this._extension);
    this._links.set(kernel.id, link);
    link.disposed.connect(() => {
      if (this._links.get(kernel.id) === link) {
        this._links.delete(kernel.id);
      }
    });
    return link;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    [...this._links.values()].forEach(link => link.dispose());
    this._links.clear();
  }

  private readonly _extension: string;
  private readonly _links = new Map<string, KernelLink>();
  private _isDisposed = false;
}
