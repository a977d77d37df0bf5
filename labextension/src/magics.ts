/** What completes a magic and its options: pure functions over the data of the magics' own parsers. */

export interface IOption {
  flags: string[];
  takes: boolean;
  help: string;
  values: string[];
}

export interface IMagic {
  kinds: string[];
  help: string;
  options: IOption[];
}

export type Magics = Record<string, IMagic>;

export interface ICompletions {
  /** Where in the line what is completed begins. */
  start: number;
  items: { label: string; help: string }[];
}

const NAME = /^\s*(?:[^%=]*=\s*)?(%%?\w*)$/;
const LOADING = /^\s*%load_ext\s+(\w*)$/;
const COMMAND = /^\s*(?:[^%=]*=\s*)?%%?(sm_\w+)[ \t]+(.*)$/s;

/** What may stand at the end of a line, from its beginning to the cursor. */
export function completions(
  line: string,
  isFirst: boolean,
  magics: Magics
): ICompletions {
  const typed = NAME.exec(line)?.[1] ?? LOADING.exec(line)?.[1];
  if (LOADING.test(line) && typed !== undefined) {
    return found(line, typed, [{ label: 'sm_magics', help: '' }]);
  }
  if (typed !== undefined) {
    return found(line, typed, names(typed, isFirst, magics));
  }
  const command = COMMAND.exec(line);
  const magic = command && magics[command[1]];
  return magic
    ? options(line, command[2], magic.options)
    : { start: line.length, items: [] };
}

function names(typed: string, isFirst: boolean, magics: Magics) {
  const isCell = typed.startsWith('%%');
  const kind = isCell ? 'cell' : 'line';
  if (isCell && !isFirst) {
    return [];
  }
  return Object.entries(magics)
    .filter(([, magic]) => magic.kinds.includes(kind))
    .map(([name, magic]) => ({
      label: `${isCell ? '%%' : '%'}${name}`,
      help: magic.help
    }));
}

function options(line: string, rest: string, of: IOption[]): ICompletions {
  const words = rest.split(/\s+/);
  let typed = words.pop() ?? '';
  let former = words.pop();
  const assigned = /^(--[\w-]+)=(.*)$/.exec(typed);
  if (assigned) {
    [, former, typed] = assigned;
  }
  const taker = of.find(option => option.flags.includes(former ?? ''));
  if (taker?.takes) {
    const values = taker.values.map(label => ({ label, help: '' }));
    return found(line, typed, values);
  }
  if (!typed.startsWith('-')) {
    return { start: line.length, items: [] };
  }
  const flags = of.flatMap(option =>
    option.flags
      .filter(flag => flag.startsWith('--'))
      .map(label => ({ label, help: option.help }))
  );
  return found(line, typed, flags);
}

function found(
  line: string,
  typed: string,
  items: ICompletions['items']
): ICompletions {
  return {
    start: line.length - typed.length,
    items: items.filter(item => item.label.startsWith(typed))
  };
}
