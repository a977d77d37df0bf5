/** What can be done from the palette, by key, and from the notebook's toolbar. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';

import { deployIcon, smMagicsIcon } from './icons';
import type { Model } from './model';
import type { SmMagicsPanel } from './panel';

export const DEPLOY = 'sm-magics:deploy';
export const HANDLE = 'sm-magics:insert-handlers';
export const SHOW = 'sm-magics:show';

/** What a notebook's toolbar shows. */
export type Toolbar = 'icon' | 'text' | 'nothing';

export function addCommands(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  model: Model,
  panel: SmMagicsPanel,
  palette: ICommandPalette | null,
  toolbar: () => Toolbar
): void {
  const { commands } = app;
  const hasNotebook = () => notebooks.currentWidget !== null;
  const redraw = () => commands.notifyCommandChanged();
  notebooks.currentChanged.connect(redraw);

  commands.addCommand(DEPLOY, {
    label: args => (args.toolbar ? 'Deploy' : 'Package and Deploy a Model…'),
    caption: 'Package and deploy a model of this notebook',
    icon: args =>
      args.toolbar && toolbar() === 'text' ? undefined : deployIcon,
    isVisible: args => !args.toolbar || toolbar() !== 'nothing',
    isEnabled: hasNotebook,
    execute: async () => {
      const notebook = notebooks.currentWidget;
      if (notebook) {
        const { askAndDeploy } = await import('./deploying');
        await askAndDeploy(notebook, model);
      }
    }
  });
  commands.addCommand(HANDLE, {
    label: 'Insert Inference Handlers',
    caption: 'Insert a cell with model_fn, input_fn, predict_fn and output_fn',
    isEnabled: hasNotebook,
    execute: async () => {
      const notebook = notebooks.currentWidget;
      if (notebook) {
        const { insertHandlers } = await import('./handlers');
        await insertHandlers(notebook);
      }
    }
  });
  commands.addCommand(SHOW, {
    label: 'Show SageMaker Endpoints',
    icon: smMagicsIcon,
    execute: () => {
      app.shell.activateById(panel.id);
      panel.focus();
    }
  });
  for (const command of [SHOW, DEPLOY, HANDLE]) {
    palette?.addItem({ command, category: 'SageMaker' });
  }
}
