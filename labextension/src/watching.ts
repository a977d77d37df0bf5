/** What happens in notebooks and concerns the panel: cells that were run, and other kernels. */

import {
  INotebookTracker,
  NotebookActions,
  NotebookPanel
} from '@jupyterlab/notebook';

import { askFacts } from './kernel';
import type { Model } from './model';

/** Tell the model of what happens in notebooks. */
export function watchNotebooks(
  notebooks: INotebookTracker,
  model: Model
): void {
  NotebookActions.executed.connect((_, { cell }) => {
    if (/%sm_|sm_magics/.test(cell.model.sharedModel.getSource())) {
      void model.refresh(true);
    }
  });
  let asked = '';
  const ask = async (panel: NotebookPanel | null): Promise<void> => {
    const kernel = panel?.sessionContext.session?.kernel;
    if (!panel || !kernel || !model.isVisible) {
      return;
    }
    if (kernel.id !== asked) {
      asked = kernel.id;
      model.setKernel(null);
      const facts = await askFacts(panel.sessionContext).catch(() => null);
      if (asked === kernel.id) {
        model.setKernel(facts);
      }
    }
  };
  const current = () => void ask(notebooks.currentWidget);
  notebooks.currentChanged.connect(current);
  const watch = (panel: NotebookPanel): void => {
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect(current);
    sessionContext.statusChanged.connect((_, status) => {
      if (status === 'restarting' || status === 'autorestarting') {
        asked = '';
      } else if (status === 'idle' && asked === '') {
        current();
      }
    });
  };
  notebooks.forEach(watch);
  notebooks.widgetAdded.connect((_, panel) => watch(panel));
  model.shown.connect(current);
}
