/** Completion of magics and their options where the kernel does not know them: before it is there, or has loaded them. */

import type {
  CompletionHandler,
  ICompletionContext,
  ICompletionProvider
} from '@jupyterlab/completer';
import { NotebookPanel } from '@jupyterlab/notebook';

import { completions } from './magics';

export class MagicsProvider implements ICompletionProvider {
  readonly identifier = 'sm-magics:completion';
  readonly rank = 550;

  async isApplicable(context: ICompletionContext): Promise<boolean> {
    return context.widget instanceof NotebookPanel;
  }

  async fetch(
    request: CompletionHandler.IRequest
  ): Promise<CompletionHandler.ICompletionItemsReply> {
    const before = request.text.slice(0, request.offset);
    const begin = before.lastIndexOf('\n') + 1;
    const line = before.slice(begin);
    if (!line.includes('%')) {
      return { start: request.offset, end: request.offset, items: [] };
    }
    const { default: magics } = await import('./magics.json');
    const { start, items } = completions(line, begin === 0, magics);
    return {
      start: begin + start,
      end: request.offset,
      items: items.map(({ label, help }) => ({
        label,
        insertText: label,
        type: label.startsWith('-') ? 'option' : 'magic',
        documentation: help || undefined
      }))
    };
  }
}
