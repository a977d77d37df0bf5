import { expect, test } from 'vitest';

import { kept, key } from '../src/keeping';

const row = (name: string, status = 'InService', where = 'local') => ({
  where,
  name,
  status
});

test('rows that say the same stay the same, and only those', () => {
  const seen = new Map();
  const first = kept(seen, [row('a'), row('b')]);
  const second = kept(seen, [row('b'), row('a', 'Updating'), row('c')]);
  expect(second[0]).toBe(first[1]);
  expect(second[1]).not.toBe(first[0]);
  expect(second.map(one => one.status)).toEqual([
    'InService',
    'Updating',
    'InService'
  ]);
  expect(kept(seen, [row('a', 'Updating')])[0]).toBe(second[1]);
});

test('the same name in two places is two', () => {
  const seen = new Map();
  const there = kept(seen, [row('a'), row('a', 'InService', 'us-west-2')]);
  expect(new Set(there).size).toBe(2);
  expect(key(there[0])).not.toBe(key(there[1]));
});
