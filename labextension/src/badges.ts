/** Cells that are written to files say which, and whether the file still is what the cell says. */

import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

import type { Api } from './api';
import type { ICellState } from './routes';

const WRITES = /^\s*%%sm_(inference|code)\b/;
const TYPED = 700;
const RUN = 200;

const SAID: Record<ICellState['state'], [string, string]> = {
  matches: ['✓', 'the file is what this cell says'],
  differs: [
    '≠',
    'the file is not what this cell says; run the cell to write it'
  ],
  absent: ['○', 'not written yet; run the cell to write it'],
  unknown: ['?', 'whether the file is what this cell says is not known']
};

/** Keep the badges of one notebook. */
export class Badges {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _api: Api,
    private readonly _open: (path: string) => void
  ) {
    const { content, context } = _panel;
    void context.ready.then(() => {
      content.model?.contentChanged.connect(() => {
        // Outputs that change all the time must not put off the look after a run.
        if (!this._isCertain) {
          this._soon(TYPED, false);
        }
      });
      content.activeCellChanged.connect(() => this._soon(TYPED, true));
      NotebookActions.executed.connect(this._onExecuted, this);
      this._soon(RUN, true);
    });
    _panel.disposed.connect(() => {
      window.clearTimeout(this._timer);
      NotebookActions.executed.disconnect(this._onExecuted, this);
    });
  }

  private _onExecuted(_: unknown, run: { notebook: unknown }): void {
    if (run.notebook === this._panel.content) {
      this._soon(RUN, true);
    }
  }

  /** Look a little later. `isCertain`: also where no such cell has been changed, as the files may have been. */
  private _soon(milliseconds: number, isCertain: boolean): void {
    this._isCertain = this._isCertain || isCertain;
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._look(), milliseconds);
  }

  private async _look(): Promise<void> {
    const { content, context } = this._panel;
    const cells = content.widgets
      .map(cell => ({
        id: cell.model.id,
        source: cell.model.sharedModel.getSource()
      }))
      .filter(cell => WRITES.test(cell.source));
    const seen = JSON.stringify(cells);
    if (!this._isCertain && seen === this._seen) {
      return;
    }
    this._seen = seen;
    this._isCertain = false;
    if (cells.length === 0) {
      this._draw([]);
      return;
    }
    try {
      this._draw((await this._api.cells(context.path, cells)).cells);
    } catch {
      this._seen = ''; // the panel says why the server does not answer
    }
  }

  private _draw(states: ICellState[]): void {
    const known = new Map(states.map(state => [state.id, state]));
    for (const cell of this._panel.content.widgets) {
      const state = known.get(cell.model.id);
      const former = this._drawn.get(cell.model.id);
      if (!state) {
        former?.remove();
        this._drawn.delete(cell.model.id);
        continue;
      }
      const badge = former ?? document.createElement('button');
      this._drawn.set(cell.model.id, badge);
      show(badge, state);
      badge.onclick = () => state.path && this._open(state.path);
      if (!badge.isConnected) {
        void cell.ready.then(() => cell.inputArea?.node.append(badge));
      }
    }
  }

  private readonly _drawn = new Map<string, HTMLButtonElement>();
  private _seen = '';
  private _isCertain = false;
  private _timer = 0;
}

function show(badge: HTMLButtonElement, state: ICellState): void {
  const [sign, words] = SAID[state.state];
  badge.className = 'jp-SmMagics-badge';
  badge.dataset.state = state.state;
  badge.textContent = `${sign} ${state.file}`;
  badge.title = state.why || words;
  badge.setAttribute('aria-label', `${state.file}: ${state.why || words}`);
  badge.disabled = state.path === null;
}
