/** Cells put into the current notebook. */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

import { askFacts } from './kernel';

const LOAD = '%load_ext sm_magics';

/** Insert cells below the active one, select the last, and run them if asked to. */
export async function insertCells(
  panel: NotebookPanel,
  sources: string[],
  runs: boolean
): Promise<void> {
  const { content, sessionContext } = panel;
  const start = content.activeCellIndex;
  for (const source of sources) {
    if (content.activeCell?.model.sharedModel.getSource().trim()) {
      NotebookActions.insertBelow(content);
    } else {
      NotebookActions.changeCellType(content, 'code');
    }
    content.activeCell?.model.sharedModel.setSource(source);
  }
  void content.scrollToItem(content.activeCellIndex);
  if (runs) {
    const first = content.activeCellIndex - sources.length + 1;
    const cells = content.widgets.slice(
      Math.max(start, first),
      first + sources.length
    );
    await NotebookActions.runCells(content, cells, sessionContext);
  }
}

/** Insert magics, after what loads them where the kernel has not loaded them. */
export async function insertMagics(
  panel: NotebookPanel,
  source: string,
  runs: boolean
): Promise<void> {
  const facts = await askFacts(panel.sessionContext);
  const isLoaded = facts?.isLoaded || hasLoading(panel);
  await insertCells(panel, isLoaded ? [source] : [LOAD, source], runs);
}

/** The notebook in front, or the one that was last. */
export function currentNotebook(
  tracker: INotebookTracker
): NotebookPanel | null {
  return tracker.currentWidget;
}

function hasLoading(panel: NotebookPanel): boolean {
  const kernel = panel.sessionContext.session?.kernel;
  const cells = Array.from(panel.content.model?.cells ?? []);
  return (
    !kernel && cells.some(cell => cell.sharedModel.getSource().includes(LOAD))
  );
}
