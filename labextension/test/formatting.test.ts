import { describe, expect, test } from 'vitest';

import {
  SIGNS,
  age,
  bytes,
  count,
  dollars,
  instances,
  state,
  statusWord
} from '../src/formatting';

test.each([
  [-3, '0 s'],
  [59.9, '59 s'],
  [60, '1 min'],
  [3599, '59 min'],
  [47 * 3600, '47 h'],
  [48 * 3600, '2 d']
])('an age of %d seconds reads %s', (seconds, text) => {
  expect(age(seconds)).toBe(text);
});

test.each([
  [0, '$0'],
  [0.0001, '< $0.001'],
  [0.115, '$0.115'],
  [0.23, '$0.23'],
  [1.408, '$1.41'],
  [1234.5, '$1,235']
])('%d dollars read %s', (amount, text) => {
  expect(dollars(amount)).toBe(text);
});

test.each([
  [812, '812 B'],
  [1200, '1.2 kB'],
  [999_960, '1.0 MB']
])('%d bytes read %s', (size, text) => {
  expect(bytes(size)).toBe(text);
});

describe('a status', () => {
  test('has a word, also one that SageMaker adds later', () => {
    expect(statusWord('InService')).toBe('in service');
    expect(statusWord('DeepFreezing')).toBe('deep freezing');
  });

  test('that is not known yet is taken for one that changes by itself', () => {
    expect(state('DeepFreezing')).toBe('busy');
  });

  test('is told from another by its sign alone', () => {
    expect(new Set(Object.values(SIGNS)).size).toBe(Object.keys(SIGNS).length);
  });
});

test('one thing is not two things', () => {
  expect(count(1, 'endpoint')).toBe('1 endpoint');
  expect(count(2000, 'endpoint')).toBe('2,000 endpoints');
});

test.each([
  [1, 1, 'worker', '1 worker'],
  [1, 3, 'worker', '1 of 3 workers'],
  [null, 1, 'worker', '1 worker asked for'],
  [null, null, 'worker', ''],
  [2, 2, '× ml.m5.large', '2 × ml.m5.large'],
  [null, 2, '× ml.m5.large', '2 × ml.m5.large asked for'],
  [2, 2, '', '2']
])('%s of %s instances read %s', (current, desired, kind, text) => {
  expect(instances(current, desired, kind)).toBe(text);
});
