/** Rows keep their identity while they say the same, so that only what has changed is drawn again. */

import type { IAddress } from './api';

/** Rows equal in all they say to those seen before are those seen before. */
export function kept<T extends IAddress>(seen: Map<string, T>, rows: T[]): T[] {
  return rows.map(row => {
    const former = seen.get(key(row));
    if (former && JSON.stringify(former) === JSON.stringify(row)) {
      return former;
    }
    seen.set(key(row), row);
    return row;
  });
}

/** A key for an endpoint or a job; the same name in two places is two. */
export function key({ where, name }: IAddress): string {
  return `${where}/${name}`;
}
