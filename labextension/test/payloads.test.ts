import { expect, test } from 'vitest';

import { EMPTY, mistake, pretty } from '../src/payloads';

test('what is no JSON is not sent as JSON', () => {
  expect(mistake({ ...EMPTY, body: '[1, 2' })).toContain('not JSON');
  expect(mistake({ ...EMPTY, body: ' ' })).toContain('nothing to send');
  expect(mistake({ ...EMPTY, body: '[1, 2]' })).toBe('');
  expect(mistake({ ...EMPTY, body: '1,2', content_type: 'text/csv' })).toBe('');
});

test('short lists stay on a line, long ones have a line for each part', () => {
  expect(pretty('[[1,-2.5],[3,4]]')).toBe('[[1, -2.5], [3, 4]]');
  const rows = JSON.stringify([Array(20).fill(1), Array(20).fill(2)]);
  expect(pretty(rows).split('\n')).toHaveLength(4);
  expect(JSON.parse(pretty(rows))).toEqual(JSON.parse(rows));
});

test('text inside strings is left alone', () => {
  const said = '{"a":"1,2","b":"x,[y"}';
  expect(JSON.parse(pretty(said))).toEqual(JSON.parse(said));
});

test('an answer that is no JSON is shown as it is', () => {
  expect(pretty('1,2\n3,4')).toBe('1,2\n3,4');
});
