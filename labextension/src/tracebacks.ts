/** Where a text names lines of the files that cells write: a pure function. */

export interface INamed {
  /** Where the name stands in the text. */
  start: number;
  end: number;
  file: string;
  line: number;
}

// As Python's tracebacks write it, as IPython's do, and as a sentence does.
const FRAME =
  /(?<![^\s"'(])((?:[^\s"'()]*\/)?code\/[\w./-]+\.py)(?:", line |:|, line | line )(\d+)/g;

export function framesIn(text: string): INamed[] {
  return Array.from(text.matchAll(FRAME), match => ({
    start: match.index ?? 0,
    end: (match.index ?? 0) + match[0].length,
    file: match[1],
    line: Number(match[2])
  }));
}

/** The line of a cell that a card's link names, the first of the cell being the magic's; without one, the first. */
export function lineIn(words: string): number {
  const named = words.match(/\bline (\d+)$/);
  return named ? Number(named[1]) + 1 : 1;
}
