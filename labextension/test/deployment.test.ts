import { expect, test } from 'vitest';

import { command } from '../src/deployment';

const plain = { model: 'net', endpoint: '', instance: 'local', region: '' };

test('a cell says only what does not go without saying', () => {
  expect(command({ ...plain, region: 'eu-west-1' }, 'local')).toBe(
    '%sm_deploy net'
  );
});

test('what is in AWS says where', () => {
  const there = {
    ...plain,
    endpoint: ' digits ',
    instance: 'ml.m5.large',
    region: 'eu-west-1'
  };
  expect(command(there, 'local')).toBe(
    '%sm_deploy net --endpoint-name digits --instance-type ml.m5.large --region eu-west-1'
  );
});

test('this machine is said where AWS goes without saying', () => {
  expect(command(plain, 'ml.m5.large')).toBe(
    '%sm_deploy net --instance-type local'
  );
});

test('an expression is one word', () => {
  expect(command({ ...plain, model: 'models["a b"]' }, 'local')).toBe(
    '%sm_deploy "models[\\"a b\\"]"'
  );
});
