import {
  Clipboard,
  type ISessionContextDialogs,
  Notification
} from '@jupyterlab/apputils';
import { type Cell, isCodeCellModel } from '@jupyterlab/cells';
import {
  type INotebookTracker,
  type Notebook,
  NotebookActions,
  type NotebookPanel
} from '@jupyterlab/notebook';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

/** What becomes of the line that an action stands for: a cell that is run, or the clipboard. */
export type RecordAs = 'run' | 'copy';

/**
 * Puts what is done in the panel into the notebook.
 *
 * A new cell goes below everything that this kernel has run, so that the notebook, run from the
 * top in a fresh kernel, does the same again.
 */
export class Recorder implements IDisposable {
  constructor(options: Recorder.IOptions) {
    this._options = options;
    NotebookActions.executed.connect(this._onExecuted, this);
    options.tracker.widgetAdded.connect(this._onNotebook, this);
    options.tracker.forEach(panel => this._onNotebook(options.tracker, panel));
  }

  /** Whether lines are run or copied; a setting. */
  recordAs: RecordAs = 'run';

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    NotebookActions.executed.disconnect(this._onExecuted, this);
    this._options.tracker.widgetAdded.disconnect(this._onNotebook, this);
    Signal.clearData(this);
  }

  /** Record a line, in the way that the setting says. */
  async record(panel: NotebookPanel, line: string): Promise<void> {
    if (this.recordAs === 'run') {
      return this._run(panel, line, this._place(panel.content));
    }
    Clipboard.copyToSystem(line);
    const { trans } = this._options;
    Notification.info(trans.__('Copied: %1', line), { autoClose: 4000 });
  }

  /** Run a line that may come before all others. */
  async run(panel: NotebookPanel, line: string): Promise<void> {
    const { content: notebook } = panel;
    const ran = this._lowest(notebook, cell => this._hasRun(cell, notebook));
    return this._run(panel, line, ran < 0 ? notebook.activeCellIndex : ran);
  }

  /** Insert a cell with this line below another one, and run it. */
  private async _run(
    panel: NotebookPanel,
    line: string,
    above: number
  ): Promise<void> {
    const { content: notebook, sessionContext } = panel;
    if (!notebook.model) {
      return;
    }
    const index = above + 1;
    notebook.model.sharedModel.insertCell(index, {
      cell_type: 'code',
      source: line,
      // Without it the output of a magic would not be shown after the notebook is opened again.
      metadata: { trusted: true }
    });
    const cell = notebook.widgets[index];
    // Not before it has its place in the page.
    requestAnimationFrame(() => void notebook.scrollToItem(index, 'smart'));
    const { dialogs, translator } = this._options;
    await NotebookActions.runCells(
      notebook,
      [cell],
      sessionContext,
      dialogs ?? undefined,
      translator ?? undefined
    );
  }

  /** The cell below which the next one goes. */
  private _place(notebook: Notebook): number {
    const ran = this._lowest(notebook, cell => this._hasRun(cell, notebook));
    if (ran >= 0) {
      return ran;
    }
    // The page was loaded anew, and only the numbers of the cells tell what has run.
    const numbered = this._lowest(
      notebook,
      ({ model }) => isCodeCellModel(model) && model.executionCount !== null
    );
    return numbered >= 0 ? numbered : notebook.activeCellIndex;
  }

  private _lowest(notebook: Notebook, fits: (cell: Cell) => boolean): number {
    return notebook.widgets.reduce(
      (found, cell, index) => (fits(cell) ? index : found),
      -1
    );
  }

  private _hasRun(cell: Cell, notebook: Notebook): boolean {
    return this._ran.get(notebook)?.has(cell.model.id) ?? false;
  }

  private _onExecuted(
    _: unknown,
    { notebook, cell }: { notebook: Notebook; cell: Cell }
  ): void {
    if (cell.model.type === 'code') {
      this._ran.get(notebook)?.add(cell.model.id);
    }
  }

  private _onNotebook(_: INotebookTracker, panel: NotebookPanel): void {
    const { sessionContext, content: notebook } = panel;
    this._ran.set(notebook, new Set());
    sessionContext.kernelChanged.connect(() => this._forget(notebook), this);
    sessionContext.statusChanged.connect((_, status) => {
      if (status === 'restarting' || status === 'autorestarting') {
        this._forget(notebook);
      }
    }, this);
  }

  private _forget(notebook: Notebook): void {
    this._ran.get(notebook)?.clear();
  }

  private readonly _options: Recorder.IOptions;
  /** Ids of the cells that ran in the present kernel. */
  private readonly _ran = new WeakMap<Notebook, Set<string>>();
  private _isDisposed = false;
}

export namespace Recorder {
  /** What a recorder needs. */
  export interface IOptions {
    tracker: INotebookTracker;
    dialogs: ISessionContextDialogs | null;
    translator: ITranslator | null;
    trans: TranslationBundle;
  }
}
