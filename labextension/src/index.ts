import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { IStatusBar } from '@jupyterlab/statusbar';

import { Api } from './api';
import { insertMagics } from './cells';
import { addCommands, DEPLOY, SHOW } from './commands';
import { askAndRemove } from './deleting';
import { Model } from './model';
import { SmMagicsPanel } from './panel';
import { offerSnippets } from './snippets';
import { StatusItem } from './statusbar';
import { watchNotebooks } from './watching';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'sm-magics:plugin',
  description: 'SageMaker endpoints beside the notebook.',
  autoStart: true,
  requires: [INotebookTracker, ISettingRegistry],
  optional: [ILayoutRestorer, ICommandPalette, IStatusBar],
  activate: async (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    registry: ISettingRegistry,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null
  ) => {
    const model = new Model(new Api(app.serviceManager.serverSettings));
    const panel = new SmMagicsPanel(model, {
      remove: endpoint => askAndRemove(endpoint, model),
      offerSnippets: (endpoint, payload, at) =>
        offerSnippets(model.api, notebooks, endpoint, payload, at),
      openNotebook: path =>
        void app.commands.execute('docmanager:open', { path }),
      attach: async job => {
        const notebook = notebooks.currentWidget;
        if (notebook) {
          await insertMagics(notebook, job.attach, true);
        }
      },
      deploy: () => void app.commands.execute(DEPLOY),
      setRegion: region => void registry.set(plugin.id, 'region', region)
    });
    app.shell.add(panel, 'left', { rank: 700 });
    restorer?.add(panel, 'sm-magics');
    addCommands(app, notebooks, model, panel, palette);
    watchNotebooks(notebooks, model);
    statusBar?.registerStatusItem('sm-magics:status', {
      item: new StatusItem(model, () => void app.commands.execute(SHOW)),
      align: 'left',
      rank: 90
    });
    const settings = await registry.load(plugin.id);
    const read = () => ({
      region: settings.get('region').composite as string,
      profile: settings.get('profile').composite as string,
      pollInterval: settings.get('pollInterval').composite as number
    });
    settings.changed.connect(() => model.configure(read()));
    model.start(read());
  }
};

export default plugin;
