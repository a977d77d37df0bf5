import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { IStatusBar } from '@jupyterlab/statusbar';

import { Api } from './api';
import { Badges } from './badges';
import { addCommands, DEPLOY, SHOW, Toolbar } from './commands';
import { MagicsProvider } from './completion';
import { linkTracebacks, openAndJump } from './jumping';
import { addTutorial } from './launching';
import { Model } from './model';
import { SmMagicsPanel } from './panel';
import { StatusItem } from './statusbar';
import { watchNotebooks } from './watching';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'sm-magics:plugin',
  description: 'SageMaker endpoints beside the notebook.',
  autoStart: true,
  requires: [INotebookTracker, ISettingRegistry],
  optional: [
    ILayoutRestorer,
    ICommandPalette,
    IStatusBar,
    ICompletionProviderManager,
    ILauncher
  ],
  activate: async (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    registry: ISettingRegistry,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null,
    completion: ICompletionProviderManager | null,
    launcher: ILauncher | null
  ) => {
    const settings = await registry.load(plugin.id);
    const model = new Model(new Api(app.serviceManager.serverSettings));
    const openFile = (path: string) =>
      void app.commands.execute('docmanager:open', { path });
    const panel = new SmMagicsPanel(model, {
      remove: async endpoint => {
        const { askAndRemove } = await import('./deleting');
        await askAndRemove(endpoint, model);
      },
      offerSnippets: async (endpoint, payload, at) => {
        const { offerSnippets } = await import('./snippets');
        await offerSnippets(model.api, notebooks, endpoint, payload, at);
      },
      openNotebook: openFile,
      showCell: (notebook, frame) =>
        void openAndJump(app.commands, notebook, model.api, frame),
      attach: async job => {
        const notebook = notebooks.currentWidget;
        if (notebook) {
          const { insertMagics } = await import('./cells');
          await insertMagics(notebook, job.attach, true);
        }
      },
      deploy: () => void app.commands.execute(DEPLOY),
      setRegion: region => void registry.set(plugin.id, 'region', region)
    });
    app.shell.add(panel, 'left', { rank: 700 });
    restorer?.add(panel, 'sm-magics');
    const toolbar = () => settings.get('toolbar').composite as Toolbar;
    addCommands(app, notebooks, model, panel, palette, toolbar);
    addTutorial(app, model.api, launcher);
    watchNotebooks(notebooks, model);
    completion?.registerProvider(new MagicsProvider());
    const watch = (notebook: NotebookPanel) => {
      new Badges(notebook, model.api, openFile);
      linkTracebacks(notebook, model.api);
    };
    notebooks.forEach(watch);
    notebooks.widgetAdded.connect((_, notebook) => watch(notebook));
    statusBar?.registerStatusItem('sm-magics:status', {
      item: new StatusItem(model, () => void app.commands.execute(SHOW)),
      align: 'left',
      rank: 90
    });
    const read = () => ({
      region: settings.get('region').composite as string,
      profile: settings.get('profile').composite as string,
      pollInterval: settings.get('pollInterval').composite as number
    });
    settings.changed.connect(() => {
      model.configure(read());
      app.commands.notifyCommandChanged(DEPLOY);
    });
    model.start(read());
  }
};

export default plugin;
