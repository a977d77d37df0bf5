import { describe, expect, test } from 'vitest';

import { kept } from '../src/keeping';
import { facts, listed, total } from '../src/listing';
import type { IEndpoint, IEndpointPlace } from '../src/routes';

export function endpoint(
  name: string,
  more: Partial<IEndpoint> = {}
): IEndpoint {
  return {
    where: 'us-west-2',
    place: 'us-west-2',
    name,
    arn: `arn:aws:sagemaker:us-west-2:123456789012:endpoint/${name}`,
    status: 'InService',
    moving: false,
    created: '2026-11-22T10:00:00+00:00',
    modified: '2026-11-22T10:05:00+00:00',
    reason: '',
    instance_type: '2 × ml.m5.large',
    instance_count: 2,
    cost_per_hour: 0.23,
    cost_so_far: 1,
    cost_unknown: '',
    mine: true,
    made_here: true,
    notebook: '',
    notebook_path: null,
    removal: null,
    ...more
  };
}

function place(rows: IEndpoint[], incomplete = 0): IEndpointPlace {
  return {
    where: 'us-west-2',
    place: 'us-west-2',
    state: 'ok',
    problem: null,
    incomplete,
    endpoints: rows
  };
}

const names = (rows: IEndpoint[]) => rows.map(row => row.name);

describe('a list of endpoints', () => {
  const all = place([
    endpoint('theirs', { mine: false }),
    endpoint('unsaid', { mine: null }),
    endpoint('ours')
  ]);

  test('has mine first and leaves those of others out', () => {
    const { shown, others } = listed(all, '', false);
    expect(names(shown)).toEqual(['ours', 'unsaid']);
    expect(others).toBe(1);
  });

  test('has all on request', () => {
    expect(names(listed(all, '', true).shown)).toEqual([
      'ours',
      'unsaid',
      'theirs'
    ]);
  });

  test('has those of others that are looked for by name', () => {
    expect(names(listed(all, ' THEIR', false).shown)).toEqual(['theirs']);
  });

  test('does not show what vanishes once its owner is known', () => {
    const loading = place(all.endpoints, 1);
    const { shown, unknown } = listed(loading, '', false);
    expect(names(shown)).toEqual(['ours']);
    expect(unknown).toBe(1);
  });

  test('is filtered by every word, wherever it stands', () => {
    const found = listed(all, 'm5 ours', false).shown;
    expect(names(found)).toEqual(['ours']);
    expect(listed(all, 'm5 nothing', false).shown).toEqual([]);
  });
});

test('what is up and what it costs leaves out what failed and what others have', () => {
  const rows = [
    endpoint('a'),
    endpoint('b', { status: 'Failed', cost_per_hour: 0 }),
    endpoint('c', { mine: false, cost_per_hour: 100 }),
    endpoint('d', { cost_per_hour: null })
  ];
  expect(total([place(rows)])).toEqual({ up: 2, failed: 1, cost: 0.23 });
});

test('instances and costs are said where they are known', () => {
  expect(facts(endpoint('a'))).toEqual(['2 × ml.m5.large', '$0.23/h']);
  expect(
    facts(endpoint('a', { instance_type: null, cost_per_hour: null }))
  ).toEqual([]);
  const local = { where: 'local', instance_type: '', instance_count: 1 };
  expect(facts(endpoint('a', local))).toEqual(['1 worker']);
});

test('a row that says the same is the same', () => {
  const seen = new Map<string, IEndpoint>();
  const [first] = kept(seen, [endpoint('a')]);
  expect(kept(seen, [endpoint('a')])[0]).toBe(first);
  expect(kept(seen, [endpoint('a', { where: 'local' })])[0]).not.toBe(first);
  const changed = kept(seen, [endpoint('a', { status: 'Failed' })])[0];
  expect(changed).not.toBe(first);
  expect(changed.status).toBe('Failed');
});
