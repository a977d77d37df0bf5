/** The one place that talks to the server. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type * as routes from './routes';

/** Why the server did not do what it was asked: its own reason, or that it could not be reached. */
export class ApiError extends Error {
  readonly code: string;
  readonly hint: string;

  /** `details` are further members of the server's answer, such as `plan` and `traceback`. */
  constructor(
    problem: routes.IProblem,
    readonly details: Record<string, unknown> = {}
  ) {
    super(problem.message);
    this.code = problem.code;
    this.hint = problem.hint;
  }

  static of(reason: unknown): ApiError {
    if (reason instanceof ApiError) {
      return reason;
    }
    const message = reason instanceof Error ? reason.message : String(reason);
    return new ApiError({ code: 'Internal', message, hint: '' });
  }
}

const RESTART: routes.IProblem = {
  code: 'RestartServer',
  message:
    'sm_magics was installed while the Jupyter server was running. Restart the server to use this panel.',
  hint: ''
};

const UNREACHABLE: routes.IProblem = {
  code: 'Unreachable',
  message: 'The Jupyter server does not answer.',
  hint: ''
};

type Query = Record<string, string | number | boolean | string[]>;

/** The server's routes as functions. */
export class Api {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  /** The AWS profile that every request is made with; empty: the server's own. */
  profile = '';

  status(region: string): Promise<routes.IStatus> {
    const aws = region !== 'local';
    return this._get('status', aws ? { region } : { aws });
  }

  defaults(): Promise<routes.IDefaults> {
    return this._get('settings');
  }

  startLocal(): Promise<unknown> {
    return this._post('local/start', {});
  }

  endpoints(where: string[], fresh: boolean): Promise<routes.IEndpoints> {
    return this._get('endpoints', { where, fresh });
  }

  endpoint(of: IAddress): Promise<routes.IEndpointDetail> {
    return this._get(address('endpoints', of));
  }

  log(kind: Kind, of: IAddress, lines: number): Promise<routes.ILog> {
    return this._get(`${address(kind, of)}/log`, { lines });
  }

  predict(of: IAddress, payload: routes.IPayload): Promise<routes.IPrediction> {
    return this._post(`${address('endpoints', of)}/predictions`, {
      ...payload,
      profile: this.profile
    });
  }

  snippets(of: IAddress, payload: routes.IPayload): Promise<routes.ISnippets> {
    return this._post(`${address('endpoints', of)}/snippets`, {
      ...payload,
      profile: this.profile
    });
  }

  removalPlan(of: IAddress, artifacts: boolean): Promise<routes.IRemovalPlan> {
    return this._get(`${address('endpoints', of)}/removal`, { artifacts });
  }

  remove(of: IAddress, plan: routes.IRemovalPlan): Promise<routes.IRemoval> {
    return this._post(`${address('endpoints', of)}/removal`, {
      confirmed: plan.rows,
      artifacts: plan.artifacts,
      profile: this.profile
    });
  }

  removal(id: string): Promise<routes.IRemoval> {
    return this._get(`removals/${encodeURIComponent(id)}`);
  }

  jobs(where: string[], fresh: boolean): Promise<routes.IJobs> {
    return this._get('training-jobs', { where, fresh });
  }

  job(of: IAddress): Promise<routes.IJobDetail> {
    return this._get(address('training-jobs', of));
  }

  cells(
    notebook: string,
    cells: { id: string; source: string }[]
  ): Promise<{ cells: routes.ICellState[] }> {
    return this._post('cells', { notebook, cells });
  }

  frames(
    notebook: string,
    frames: routes.IFrame[]
  ): Promise<{ frames: routes.IFoundFrame[] }> {
    return this._post('frames', { notebook, frames });
  }

  /** A file that lies in the built extension. */
  async shipped(url: string): Promise<unknown> {
    const answer = await fetch(url); // it lies outside what is asked with a token
    if (!answer.ok) {
      throw new ApiError({ ...UNREACHABLE, message: answer.statusText });
    }
    return answer.json();
  }

  private _get<T>(path: string, query: Query = {}): Promise<T> {
    const given = new URLSearchParams();
    const all: Query = { ...query, profile: this.profile };
    for (const [name, value] of Object.entries(all)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== '') {
          given.append(name, String(one));
        }
      }
    }
    const asked = given.toString();
    return this._ask<T>(asked ? `${path}?${asked}` : path, {});
  }

  private _post<T>(path: string, body: object): Promise<T> {
    return this._ask<T>(path, { method: 'POST', body: JSON.stringify(body) });
  }

  private async _ask<T>(path: string, init: RequestInit): Promise<T> {
    const settings = this._settings;
    const url = URLExt.join(settings.baseUrl, 'sm-magics', path);
    let answer: Response;
    try {
      answer = await ServerConnection.makeRequest(url, init, settings);
    } catch {
      throw new ApiError(UNREACHABLE);
    }
    const said = (await answer.json().catch(() => ({}))) as {
      error?: routes.IProblem & Record<string, unknown>;
    };
    if (answer.ok) {
      return said as T;
    }
    if (said.error?.code) {
      throw new ApiError(said.error, said.error);
    }
    throw new ApiError(
      answer.status === 404
        ? RESTART
        : {
            code: answer.status === 403 ? 'Forbidden' : 'Internal',
            message: `The Jupyter server answered with ${answer.status} ${answer.statusText}.`,
            hint: ''
          }
    );
  }
}

/** What names an endpoint or a job: where it is, and its name there. */
export interface IAddress {
  where: string;
  name: string;
}

export type Kind = 'endpoints' | 'training-jobs';

function address(kind: Kind, { where, name }: IAddress): string {
  return `${kind}/${encodeURIComponent(where)}/${encodeURIComponent(name)}`;
}
