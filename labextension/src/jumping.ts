/** Lines of a traceback that cells have written lead to those cells, as the links of cards do. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { Api, ApiError } from './api';
import { TO_CELL } from './linked';
import type { IFrame } from './routes';
import { framesIn, lineIn } from './tracebacks';

const LINK = 'jp-SmMagics-frame';
const CELL = '#cell-id=';
const SETTLED = 150;

/** Make links of such lines in all of a notebook's outputs, as they come. */
export function linkTracebacks(panel: NotebookPanel, api: Api): void {
  const { node } = panel.content;
  let timer = 0;
  const observer = new MutationObserver(() => {
    window.clearTimeout(timer);
    timer = window.setTimeout(link, SETTLED);
  });
  const link = () => {
    const listings = node.querySelectorAll<HTMLElement>('.jp-OutputArea pre');
    for (const listing of listings) {
      if (!listing.querySelector(`.${LINK}`)) {
        linkIn(listing, frame => void jump(panel, api, frame));
      }
    }
    observer.takeRecords();
  };
  observer.observe(node, { childList: true, subtree: true });
  panel.disposed.connect(() => observer.disconnect());
  // Links of cards name the cell itself; the browser would only scroll to it, if that.
  node.addEventListener(
    'click',
    event => {
      const named = (event.target as Element).closest?.(`a[href*="${CELL}"]`);
      const id = named?.getAttribute('href')?.split(CELL)[1];
      const index = indexOf(panel, id);
      if (index >= 0) {
        event.preventDefault();
        event.stopPropagation();
        void select(panel, index, lineIn(named?.textContent ?? ''));
      }
    },
    true
  );
  link();
}

function linkIn(listing: HTMLElement, go: (frame: IFrame) => void): void {
  const frames = framesIn(listing.textContent ?? '');
  // From the end, so that what stands before stays where it is.
  for (const frame of frames.reverse()) {
    const range = rangeOf(listing, frame.start, frame.end);
    const link = document.createElement('a');
    link.className = LINK;
    link.tabIndex = 0;
    link.setAttribute('role', 'link');
    link.title = TO_CELL;
    link.textContent = range.toString();
    // JupyterLab makes links of paths too, to the files.
    range.deleteContents();
    range.insertNode(link);
    link.onclick = event => {
      event.preventDefault();
      event.stopPropagation();
      go(frame);
    };
    link.onkeydown = event => {
      if (event.key === 'Enter') {
        event.stopPropagation();
        go(frame);
      }
    };
  }
}

/** The part of an element's text between two places, whatever elements it goes through. */
function rangeOf(element: HTMLElement, start: number, end: number): Range {
  const range = document.createRange();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let before = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const { length } = node as Text;
    if (before <= start && start < before + length) {
      range.setStart(node, start - before);
    }
    if (before < end && end <= before + length) {
      range.setEnd(node, end - before);
    }
    before += length;
  }
  return range;
}

/** Open a notebook, unless it is open, and go to its cell that wrote a line. */
export async function openAndJump(
  commands: JupyterFrontEnd['commands'],
  path: string,
  api: Api,
  frame: IFrame
): Promise<void> {
  const panel: NotebookPanel | undefined = await commands.execute(
    'docmanager:open',
    { path }
  );
  await panel?.context?.ready;
  if (panel?.content?.widgets) {
    await jump(panel, api, frame);
  }
}

async function jump(
  panel: NotebookPanel,
  api: Api,
  { file, line }: IFrame
): Promise<void> {
  try {
    const { frames } = await api.frames(panel.context.path, [{ file, line }]);
    const found = frames[0];
    const index = indexOf(panel, found?.cell);
    if (index < 0) {
      Notification.warning(`No cell of this notebook wrote ${file}.`);
      return;
    }
    await select(panel, index, found.cell_line ?? 1);
  } catch (reason) {
    Notification.error(ApiError.of(reason).message);
  }
}

function indexOf(panel: NotebookPanel, id: string | null | undefined): number {
  return panel.content.widgets.findIndex(cell => cell.model.id === id);
}

/** Go to a line of a cell, counted from 1. */
async function select(
  { content }: NotebookPanel,
  index: number,
  line: number
): Promise<void> {
  content.activeCellIndex = index;
  await content.scrollToItem(index, 'center');
  content.mode = 'edit';
  const cell = content.widgets[index];
  await cell.ready;
  const position = { line: line - 1, column: 0 };
  cell.editor?.setCursorPosition(position);
  cell.editor?.revealPosition(position);
  cell.editor?.focus();
}
