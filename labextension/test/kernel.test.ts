import { expect, test } from 'vitest';

import { decoded } from '../src/kernel';

const answered = (text: string) => ({
  status: 'ok',
  data: { 'text/plain': text }
});
const hex = (value: unknown) =>
  Array.from(new TextEncoder().encode(JSON.stringify(value)), byte =>
    byte.toString(16).padStart(2, '0')
  ).join('');

test('what the kernel says arrives as it was, whatever is in it', () => {
  const value = [{ name: 'größe', kind: "O'Net\\", parameters: 12 }];
  expect(decoded(answered(`'${hex(value)}'`))).toEqual(value);
});

test('an expression that raised, or that some other kernel answers, says nothing', () => {
  expect(decoded({ status: 'error', ename: 'NameError' })).toBeNull();
  expect(decoded(answered('[1, 2, 3]'))).toBeNull();
  expect(decoded(undefined)).toBeNull();
});
