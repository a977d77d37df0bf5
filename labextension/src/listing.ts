/** Which rows are seen, in which order, and what they come to: pure functions over the lists. */

import { dollars } from './formatting';
import type { IEndpoint, IEndpointPlace } from './routes';

export interface IListed {
  shown: IEndpoint[];
  /** Rows of others that are left out, and rows whose owner is still being looked up. */
  others: number;
  unknown: number;
}

/** The rows of one place: mine first, then by age; others' only on request or when they are looked for by name. */
export function listed(
  place: IEndpointPlace,
  filter: string,
  showsAll: boolean
): IListed {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = place.endpoints.filter(row =>
    words.every(word => text(row).includes(word))
  );
  const isAsked = showsAll || words.length > 0;
  const isComplete = place.incomplete === 0;
  const mine = found.filter(row => row.mine === true);
  const unknown = found.filter(row => row.mine === null);
  const others = found.filter(row => row.mine === false);
  if (isAsked) {
    return { shown: [...mine, ...unknown, ...others], others: 0, unknown: 0 };
  }
  // Whose they are is refused or not told: hiding them would hide everything.
  return isComplete
    ? { shown: [...mine, ...unknown], others: others.length, unknown: 0 }
    : { shown: mine, others: others.length, unknown: unknown.length };
}

function text(row: IEndpoint): string {
  return [row.name, row.status, row.instance_type, row.notebook, row.place]
    .join(' ')
    .toLowerCase();
}

/** How many endpoints are up and what they cost an hour. */
export function total(places: IEndpointPlace[]): {
  up: number;
  failed: number;
  cost: number;
} {
  const rows = places.flatMap(place =>
    place.endpoints.filter(row => row.mine !== false)
  );
  return {
    up: rows.filter(row => row.status !== 'Failed').length,
    failed: rows.filter(row => row.status === 'Failed').length,
    cost: rows.reduce((sum, row) => sum + (row.cost_per_hour ?? 0), 0)
  };
}

/** An endpoint's second line: instances and what they cost, where that is known. */
export function facts(row: IEndpoint): string[] {
  const isLocal = row.where === 'local';
  const said = [];
  if (row.instance_type) {
    said.push(row.instance_type);
  } else if (isLocal && row.instance_count) {
    said.push(
      `${row.instance_count} worker${row.instance_count > 1 ? 's' : ''}`
    );
  }
  if (!isLocal && row.cost_per_hour !== null) {
    said.push(`${dollars(row.cost_per_hour)}/h`);
  }
  return said;
}
