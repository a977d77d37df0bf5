import { expect, test } from 'vitest';

import { notices, trouble } from '../src/notices';
import type { IStatus } from '../src/routes';

const status: IStatus = {
  version: '1.2.0',
  installed: '1.2.0',
  now: '2026-11-22T10:00:00+00:00',
  local: { running: true, version: '1.2.0', region: 'us-west-2' },
  aws: null
};
const codes = (known: Parameters<typeof notices>[0]) =>
  notices(known).map(notice => notice.code);

test('nothing is said where all is well', () => {
  const kernel = { version: '1.2.0' };
  expect(codes({ problem: null, status, kernel })).toEqual([]);
  expect(codes({ problem: null, status: null, kernel: null })).toEqual([]);
});

test('a server that still runs what was there before asks for a restart', () => {
  const updated = { ...status, installed: '1.3.0' };
  expect(codes({ problem: null, status: updated, kernel: null })).toEqual([
    'RestartServer'
  ]);
});

test('a kernel with another version is told from one without any', () => {
  const known = { problem: null, status };
  const [other] = notices({ ...known, kernel: { version: '1.1.0' } });
  expect(other.message).toContain('1.1.0');
  expect(other.message).toContain('1.2.0');
  expect(other.hint).toBe('%pip install sm-magics==1.2.0');
  expect(codes({ ...known, kernel: { version: null } })).toEqual([
    'NotInKernel'
  ]);
});

test('a local service that an older version started is said', () => {
  const local = { ...status.local, version: '1.1.0' };
  expect(
    codes({ problem: null, status: { ...status, local }, kernel: null })
  ).toEqual(['OtherService']);
});

test("a place's own trouble goes before the account's", () => {
  const aws = {
    region: 'us-west-2',
    profile: '',
    credentials: 'absent' as const,
    account: null,
    user: null,
    problem: { code: 'NoCredentials', message: 'None.', hint: 'aws login' }
  };
  const there = {
    where: 'us-west-2',
    place: 'us-west-2',
    state: 'problem' as const,
    problem: { code: 'AccessDenied', message: 'Denied.', hint: '' }
  };
  const known = { ...status, aws };
  expect(trouble(there, known)?.code).toBe('AccessDenied');
  expect(trouble({ ...there, problem: null }, known)?.code).toBe(
    'NoCredentials'
  );
  expect(
    trouble({ ...there, where: 'local', problem: null }, known)
  ).toBeNull();
});

test('without a region there is nothing to complain of', () => {
  const problem = { code: 'NoRegion', message: 'None.', hint: '' };
  const aws = { region: null, profile: '', account: null, user: null, problem };
  expect(
    trouble(undefined, { ...status, aws: { ...aws, credentials: 'waiting' } })
  ).toBeNull();
});
