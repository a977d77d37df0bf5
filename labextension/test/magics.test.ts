import { describe, expect, test } from 'vitest';

import { completions } from '../src/magics';
import magics from '../src/magics.json';

const offered = (line: string, isFirst = true) =>
  completions(line, isFirst, magics).items.map(item => item.label);

describe('a magic', () => {
  test('is offered by what has been typed of it', () => {
    expect(offered('%sm_de')).toEqual(['%sm_delete', '%sm_deploy']);
    expect(offered('ep = %sm_dep')).toEqual(['%sm_deploy']);
    expect(offered('x % sm_dep')).toEqual([]);
  });

  test('of a cell is offered in its first line, where alone it is one', () => {
    expect(offered('%%sm_inf')).toEqual(['%%sm_inference']);
    expect(offered('%%sm_inf', false)).toEqual([]);
    expect(offered('%sm_inf')).toEqual([]);
  });

  test('is loaded by a name that is offered too', () => {
    expect(completions('%load_ext sm', true, magics)).toEqual({
      start: 10,
      items: [{ label: 'sm_magics', help: '' }]
    });
  });
});

describe('an option', () => {
  test('is offered with what it is for', () => {
    const { start, items } = completions(
      '%sm_deploy model --endpoint',
      true,
      magics
    );
    expect(start).toBe('%sm_deploy model '.length);
    expect(items[0].label).toBe('--endpoint-name');
    expect(items[0].help).not.toBe('');
  });

  test('offers its values', () => {
    expect(offered('%sm_deploy m --instance-type ml.m5.l')).toEqual([
      'ml.m5.large'
    ]);
    expect(offered('%sm_deploy m --save-as=torch')).toEqual(['torchscript']);
  });

  test('that takes none is followed by others', () => {
    expect(offered('%sm_deploy m --wait --no-w')).toContain('--no-wait');
  });
});

test('what is no magic of ours is left to others', () => {
  expect(offered('%timeit --n')).toEqual([]);
  expect(offered('print("%sm_deploy")')).toEqual([]);
});
