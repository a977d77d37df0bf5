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

/** The line of a cell that a card's link names; without one, the first. A section has what is below the magic. */
export function lineIn(words: string): number {
  const line = Number(words.match(/\bline (\d+)$/)?.[1] ?? 1);
  return /^section .* line \d+$/.test(words) ? line + 1 : line;
}
