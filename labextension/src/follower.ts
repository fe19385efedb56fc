import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';

import type { PanelModel } from './model/panel';
import type { Recorder } from './recorder';

/** Keeps the model at the kernel of the current notebook. */
export class Follower implements IDisposable {
  constructor(
    tracker: INotebookTracker,
    model: PanelModel,
    recorder: Recorder
  ) {
    this._tracker = tracker;
    this._model = model;
    this._recorder = recorder;
    tracker.currentChanged.connect(this._onCurrent, this);
    this._onCurrent(tracker, tracker.currentWidget);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._tracker.currentChanged.disconnect(this._onCurrent, this);
    this._watch(null);
  }

  private _onCurrent(_: unknown, panel: NotebookPanel | null): void {
    this._watch(panel);
    this._follow();
  }

  private _watch(panel: NotebookPanel | null): void {
    const was = this._panel;
    if (was && !was.isDisposed) {
      was.sessionContext.kernelChanged.disconnect(this._follow, this);
    }
    this._panel = panel;
    panel?.sessionContext.kernelChanged.connect(this._follow, this);
  }

  private _follow(): void {
    const panel = this._panel;
    const kernel = panel?.sessionContext.session?.kernel;
    if (!panel || !kernel) {
      this._model.follow(null, panel !== null);
      return;
    }
    this._model.follow({
      kernel,
      record: line => this._recorder.record(panel, line),
      run: line => this._recorder.run(panel, line)
    });
  }

  private readonly _tracker: INotebookTracker;
  private readonly _model: PanelModel;
  private readonly _recorder: Recorder;
  private _panel: NotebookPanel | null = null;
  private _isDisposed = false;
}
