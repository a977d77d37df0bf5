import { expect, test } from 'vitest';

import { framesIn, lineIn } from '../src/tracebacks';

const found = (text: string) =>
  framesIn(text).map(({ file, line, start, end }) => [
    file,
    line,
    text.slice(start, end)
  ]);

test("a frame of Python's is found", () => {
  const text = '  File "/opt/ml/model/code/inference.py", line 22, in input_fn';
  expect(found(text)).toEqual([
    [
      '/opt/ml/model/code/inference.py',
      22,
      '/opt/ml/model/code/inference.py", line 22'
    ]
  ]);
});

test("frames of IPython's and those in a sentence are found", () => {
  const text =
    'File ~/a/code/helpers/net.py:7, in f(x)\nmodel_fn, code/inference.py line 12';
  expect(found(text).map(([file, line]) => [file, line])).toEqual([
    ['~/a/code/helpers/net.py', 7],
    ['code/inference.py', 12]
  ]);
});

test('what lies elsewhere is left alone', () => {
  expect(found('File "/usr/lib/python3/json/decoder.py", line 1')).toEqual([]);
  expect(found('see code/inference.py')).toEqual([]);
  expect(found('File "/x/mycode/inference.py", line 1')).toEqual([]);
});

test("a card's link names a line below the magic's", () => {
  expect(lineIn('section model_fn, cell [2], line 5')).toBe(6);
  expect(lineIn('class Net, cell [2], line 5')).toBe(5);
  expect(lineIn('cell [2]')).toBe(1);
});
