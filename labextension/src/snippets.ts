/** The code of a call, put into the current notebook, or on the clipboard where there is none. */

import { Clipboard, Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { MenuSvg } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';

import { Api, ApiError, IAddress } from './api';
import { insertCells, insertMagics } from './cells';
import type { IPayload, ISnippets } from './routes';

const KINDS: [keyof ISnippets, string][] = [
  ['magics', 'Magics'],
  ['sdk', 'SageMaker SDK'],
  ['boto3', 'boto3'],
  ['curl', 'curl']
];

/** Open a menu of the kinds of code there are. */
export async function offerSnippets(
  api: Api,
  notebooks: INotebookTracker,
  of: IAddress,
  payload: IPayload,
  at: HTMLElement
): Promise<void> {
  let snippets: ISnippets;
  try {
    snippets = await api.snippets(of, payload);
  } catch (reason) {
    Notification.error(ApiError.of(reason).message);
    return;
  }
  const commands = new CommandRegistry();
  const menu = new MenuSvg({ commands });
  for (const [kind, label] of KINDS) {
    const panel = kind === 'curl' ? null : notebooks.currentWidget;
    commands.addCommand(kind, {
      label: panel ? `${label} into the notebook` : `Copy as ${label}`,
      execute: async () => {
        if (panel && kind === 'magics') {
          await insertMagics(panel, snippets[kind], false);
        } else if (panel) {
          await insertCells(panel, [snippets[kind]], false);
        } else {
          Clipboard.copyToSystem(snippets[kind]);
          Notification.success(`Copied as ${label}.`, { autoClose: 2000 });
        }
      }
    });
    menu.addItem({ command: kind });
  }
  const { left, bottom } = at.getBoundingClientRect();
  menu.aboutToClose.connect(() => requestAnimationFrame(() => menu.dispose()));
  menu.open(left, bottom);
}
