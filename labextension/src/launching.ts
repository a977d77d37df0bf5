/** The launcher's tile: a copy of the first tutorial, in the folder that is open. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { PageConfig, PathExt, URLExt } from '@jupyterlab/coreutils';
import type { ILauncher } from '@jupyterlab/launcher';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { Api } from './api';
import { smMagicsIcon } from './icons';

const COMMAND = 'sm-magics:tutorial';
const SHIPPED = 'sm-magics/static/first_tutorial.ipynb';
const NAME = 'bring_your_own_model';

export function addTutorial(
  app: JupyterFrontEnd,
  api: Api,
  launcher: ILauncher | null
): void {
  const { commands, serviceManager } = app;
  commands.addCommand(COMMAND, {
    label: args =>
      args.cwd === undefined ? 'Open the SageMaker Tutorial' : 'SageMaker',
    caption: 'From a model variable to an endpoint on this machine',
    icon: smMagicsIcon,
    execute: async args => {
      const folder = String(args.cwd ?? '');
      const { contents } = serviceManager;
      const url = PageConfig.getOption('fullLabextensionsUrl');
      const content = (await api.shipped(
        URLExt.join(url, SHIPPED)
      )) as ReadonlyPartialJSONObject;
      const path = PathExt.join(folder, await freeName(contents, folder));
      await contents.save(path, { type: 'notebook', format: 'json', content });
      return commands.execute('docmanager:open', {
        path,
        factory: 'Notebook',
        kernelPreference: { autoStartDefault: true }
      });
    }
  });
  launcher?.add({ command: COMMAND, category: 'Other', rank: 10 });
}

/** A name that no file has: a tutorial that somebody works in is not written over. */
async function freeName(
  contents: JupyterFrontEnd['serviceManager']['contents'],
  folder: string
): Promise<string> {
  const { content } = await contents.get(folder);
  const taken = new Set((content as { name: string }[]).map(one => one.name));
  let name = `${NAME}.ipynb`;
  for (let number = 2; taken.has(name); number++) {
    name = `${NAME}_${number}.ipynb`;
  }
  return name;
}
