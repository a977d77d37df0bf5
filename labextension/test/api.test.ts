import { beforeEach, expect, test, vi } from 'vitest';

import { Api, ApiError } from '../src/api';

const asked = vi.hoisted(() => ({
  url: '',
  init: {} as RequestInit,
  answer: (): Response => new Response('{}')
}));

vi.mock('@jupyterlab/services', () => ({
  ServerConnection: {
    makeRequest: async (url: string, init: RequestInit) => {
      Object.assign(asked, { url, init });
      return asked.answer();
    }
  }
}));
vi.mock('@jupyterlab/coreutils', () => ({
  URLExt: { join: (...parts: string[]) => parts.join('/') }
}));

const answers = (status: number, body: unknown) => {
  asked.answer = () => new Response(JSON.stringify(body), { status });
};
const api = new Api({ baseUrl: 'http://here/base' } as never);
const at = { where: 'us-west-2', name: 'digits' };

async function refusal(promise: Promise<unknown>): Promise<ApiError> {
  const reason = await promise.catch(error => error);
  expect(reason).toBeInstanceOf(ApiError);
  return reason as ApiError;
}

beforeEach(() => {
  api.profile = '';
  answers(200, {});
});

test('places are named one by one, and what is empty is not', async () => {
  await api.endpoints(['local', 'us-west-2'], false);
  expect(asked.url).toBe(
    'http://here/base/sm-magics/endpoints?where=local&where=us-west-2&fresh=false'
  );
});

test('the profile goes with every request', async () => {
  api.profile = 'my work';
  await api.log('training-jobs', at, 100);
  expect(asked.url).toContain(
    '/training-jobs/us-west-2/digits/log?lines=100&profile=my+work'
  );
  await api.remove(at, {
    rows: [{ kind: 'endpoint', name: 'digits' }],
    kept: [],
    half_made: false,
    artifacts: true
  });
  expect(asked.init.method).toBe('POST');
  expect(JSON.parse(String(asked.init.body))).toEqual({
    confirmed: [{ kind: 'endpoint', name: 'digits' }],
    artifacts: true,
    profile: 'my work'
  });
});

test('names cannot lead to another address', async () => {
  await api.endpoint({ where: '../local', name: 'a/b?c' });
  expect(asked.url).toContain('/endpoints/..%2Flocal/a%2Fb%3Fc');
});

test("the server's own reason is told, with what comes with it", async () => {
  const plan = { rows: [], kept: [], half_made: false, artifacts: false };
  const error = { code: 'PlanChanged', message: 'Changed.', hint: 'h', plan };
  answers(409, { error });
  const reason = await refusal(api.removalPlan(at, false));
  expect([reason.code, reason.message, reason.hint]).toEqual([
    'PlanChanged',
    'Changed.',
    'h'
  ]);
  expect(reason.details.plan).toEqual(plan);
});

test('a server that does not know the routes has to be restarted', async () => {
  asked.answer = () => new Response('<html>404</html>', { status: 404 });
  expect((await refusal(api.defaults())).code).toBe('RestartServer');
  answers(404, { message: 'Not Found', reason: null });
  expect((await refusal(api.defaults())).code).toBe('RestartServer');
});

test('an endpoint that is not there is no reason to restart', async () => {
  answers(404, { error: { code: 'EndpointNotFound', message: '', hint: '' } });
  expect((await refusal(api.endpoint(at))).code).toBe('EndpointNotFound');
});

test('what else is refused is told by its status', async () => {
  asked.answer = () => new Response('', { status: 403 });
  expect((await refusal(api.startLocal())).code).toBe('Forbidden');
  asked.answer = () => new Response('', { status: 502, statusText: 'Bad' });
  const reason = await refusal(api.startLocal());
  expect(reason.code).toBe('Internal');
  expect(reason.message).toContain('502 Bad');
});

test('a server that does not answer is told from one that refuses', async () => {
  asked.answer = () => {
    throw new TypeError('Failed to fetch');
  };
  expect((await refusal(api.status(''))).code).toBe('Unreachable');
});

test('AWS is not asked about where this machine is all that is shown', async () => {
  await api.status('local');
  expect(asked.url).toContain('status?aws=false');
  await api.status('');
  expect(asked.url).toMatch(/status$/);
});
