/** How facts read: pure functions from numbers and SageMaker's words to short texts. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration in seconds, to its largest unit: `8 s`, `12 min`, `3 h`, `5 d`. */
export function age(seconds: number): string {
  if (seconds < MINUTE) {
    return `${Math.max(0, Math.floor(seconds))} s`;
  }
  if (seconds < HOUR) {
    return `${Math.floor(seconds / MINUTE)} min`;
  }
  return seconds < 2 * DAY
    ? `${Math.floor(seconds / HOUR)} h`
    : `${Math.floor(seconds / DAY)} d`;
}

/** Seconds between two times of one clock, the server's. */
export function secondsBetween(earlier: string, later: string): number {
  return (Date.parse(later) - Date.parse(earlier)) / 1000;
}

/** US dollars; as many digits as say something: `$0`, `$0.115`, `$1.41`, `$120`. */
export function dollars(amount: number): string {
  if (amount === 0) {
    return '$0';
  }
  if (amount >= 100) {
    return `$${Math.round(amount).toLocaleString('en-US')}`;
  }
  if (amount >= 1) {
    return `$${amount.toFixed(2)}`;
  }
  return amount < 0.001
    ? '< $0.001'
    : `$${amount.toFixed(3).replace(/0$/, '')}`;
}

/** Bytes in decimal units: `812 B`, `1.2 kB`, `5.0 MB`. */
export function bytes(size: number): string {
  if (size < 1000) {
    return `${size} B`;
  }
  return size < 999_950
    ? `${(size / 1000).toFixed(1)} kB`
    : `${(size / 1e6).toFixed(1)} MB`;
}

/** What an endpoint's or a job's status means for whoever looks: the colour and the sign of its row. */
export type State = 'ok' | 'busy' | 'bad' | 'warn' | 'idle';

const STATES: Record<string, State> = {
  InService: 'ok',
  Completed: 'ok',
  Failed: 'bad',
  OutOfService: 'bad',
  UpdateRollbackFailed: 'bad',
  Stopped: 'idle',
  Deleted: 'idle'
};

export function state(status: string): State {
  return STATES[status] ?? 'busy';
}

/** A sign of its own for each state, so that colour is never all there is. */
export const SIGNS: Record<State, string> = {
  ok: '●',
  busy: '◐',
  bad: '✕',
  warn: '!',
  idle: '○'
};

const WORDS: Record<string, string> = {
  Creating: 'being created',
  InService: 'in service',
  OutOfService: 'out of service',
  RollingBack: 'rolling back',
  SystemUpdating: 'being updated by SageMaker',
  UpdateRollbackFailed: 'roll back failed',
  Updating: 'being updated',
  Deleting: 'being deleted',
  InProgress: 'in progress'
};

/** SageMaker's status in words: `InService` is "in service". */
export function statusWord(status: string): string {
  return (
    WORDS[status] ?? status.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  );
}

/** A local time for people, without the parts that go without saying. */
export function clock(time: string): string {
  return new Date(time).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'short'
  });
}

/** A count with its noun: `1 endpoint`, `3 endpoints`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`;
}

/** How many instances there are, and how many there are to be: `1 of 3 workers`, `2 × ml.m5.large`. */
export function instances(
  current: number | null,
  desired: number | null,
  kind: string
): string {
  const number = current ?? desired;
  if (number === null) {
    return '';
  }
  const most = desired ?? number;
  const words = /^$|×/.test(kind) || most === 1 ? kind : `${kind}s`;
  if (current === null) {
    return [number, words, 'asked for'].filter(Boolean).join(' ');
  }
  const many = number === most ? `${number}` : `${number} of ${most}`;
  return `${many} ${words}`.trim();
}
