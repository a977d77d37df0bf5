/** What has to be said before anything else: pure functions from what is known to plain sentences. */

import type { ApiError } from './api';
import type { IKernel } from './model';
import type { IPlaceState, IProblem, IStatus } from './routes';

export interface INotice extends IProblem {
  /** How bad it is. */
  state: 'bad' | 'warn';
}

export interface IKnown {
  problem: ApiError | null;
  status: IStatus | null;
  kernel: IKernel | null;
}

/** What concerns the whole panel, the most important first. */
export function notices({ problem, status, kernel }: IKnown): INotice[] {
  if (problem) {
    const { code, message, hint } = problem;
    return [{ state: 'bad', code, message, hint }];
  }
  const said: INotice[] = [];
  if (status && status.version !== status.installed) {
    said.push({
      state: 'warn',
      code: 'RestartServer',
      message: `The Jupyter server runs sm_magics ${status.version}, and ${status.installed} is installed. Restart the server.`,
      hint: ''
    });
  }
  if (status && kernel && kernel.version !== status.version) {
    said.push(otherKernel(kernel.version, status.version));
  }
  const service = status?.local.version;
  if (status && service && service !== status.version) {
    said.push({
      state: 'warn',
      code: 'OtherService',
      message: `SageMaker on this machine is still version ${service}, the server ${status.version}.`,
      hint: 'python -m sm_magics.local stop'
    });
  }
  return said;
}

function otherKernel(version: string | null, server: string): INotice {
  return version === null
    ? {
        state: 'warn',
        code: 'NotInKernel',
        message: "This notebook's kernel does not have sm_magics.",
        hint: `%pip install sm-magics==${server}`
      }
    : {
        state: 'warn',
        code: 'OtherKernel',
        message: `This notebook's kernel has sm_magics ${version}, the Jupyter server ${server}.`,
        hint: `%pip install sm-magics==${server}`
      };
}

/** What keeps one place from telling its endpoints; null if nothing does. */
export function trouble(
  place: IPlaceState | undefined,
  status: IStatus | null
): INotice | null {
  const problem = place?.problem ?? null;
  if (problem) {
    return { state: 'bad', ...problem };
  }
  const found = place?.where === 'local' ? null : status?.aws?.problem;
  // Without a region there is one to choose, which the section says itself.
  return found && found.code !== 'NoRegion'
    ? { state: 'warn', ...found }
    : null;
}
