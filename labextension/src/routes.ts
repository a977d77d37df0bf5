/** What the server's routes answer: the types of `sm_magics/server`. Null means that it is not known. */

/** Why something could not be done, with what to do about it. */
export interface IProblem {
  code: string;
  message: string;
  hint: string;
}

export interface IStatus {
  /** Of the server that runs, and of what is on its disk now. */
  version: string;
  installed: string;
  now: string;
  local: { running: boolean; version: string | null; region: string | null };
  aws: IAccount | null;
}

export interface IAccount {
  region: string | null;
  profile: string;
  credentials:
    | 'ok'
    | 'absent'
    | 'expired'
    | 'denied'
    | 'unreachable'
    | 'unknown'
    | 'waiting';
  account: string | null;
  user: string | null;
  problem: IProblem | null;
}

/** What holds without the panel's own settings. */
export interface IDefaults {
  version: string;
  region: string;
  profile: string;
  instance_type: string;
  regions: string[];
  profiles: string[];
}

export interface IPlaceState {
  where: string;
  place: string;
  state: 'ok' | 'stopped' | 'waiting' | 'problem';
  problem: IProblem | null;
}

export interface IEndpointPlace extends IPlaceState {
  /** Rows whose details are still to come. */
  incomplete: number;
  endpoints: IEndpoint[];
}

export interface IEndpoints {
  now: string;
  places: IEndpointPlace[];
}

export interface IEndpoint {
  where: string;
  place: string;
  name: string;
  arn: string;
  status: string;
  moving: boolean;
  created: string | null;
  modified: string | null;
  reason: string | null;
  instance_type: string | null;
  instance_count: number | null;
  cost_per_hour: number | null;
  cost_so_far: number | null;
  cost_unknown: string;
  mine: boolean | null;
  made_here: boolean | null;
  notebook: string | null;
  notebook_path: string | null;
  removal: string | null;
}

export interface IVariant {
  name: string;
  model: string;
  image: string;
  model_data: string;
  instance_type: string;
  serverless: { memory_mb: number; max_concurrency: number } | null;
  current_instance_count: number | null;
  desired_instance_count: number | null;
  traffic: number | null;
}

export interface IDiagnosis {
  text: string;
  traceback: string;
  cause: string;
  fix: string;
  file: string;
  line: number;
}

export interface IEndpointDetail extends IEndpoint {
  config_name: string;
  variants: IVariant[];
  tags: Record<string, string>;
  tags_problem: IProblem | null;
  config_problem: IProblem | null;
  diagnosis: IDiagnosis | null;
}

export interface ILog {
  lines: string[];
  group: string;
  truncated: boolean;
}

export interface IPayload {
  body: string;
  content_type: string;
  accept: string;
}

export interface IPrediction {
  status: number;
  milliseconds: number;
  content_type: string;
  encoding: 'text' | 'base64';
  body: string;
  size: number;
  truncated: boolean;
}

export interface ISnippets {
  boto3: string;
  sdk: string;
  magics: string;
  curl: string;
}

/** What a deletion removes, in this order, and what it leaves. */
export interface IRemovalPlan {
  rows: { kind: string; name: string }[];
  kept: string[];
  half_made: boolean;
  artifacts: boolean;
}

export interface IRemoval {
  id: string;
  where: string;
  name: string;
  state: 'running' | 'done' | 'failed';
  problem: IProblem | null;
}

export interface IJob {
  where: string;
  place: string;
  name: string;
  arn: string;
  status: string;
  moving: boolean;
  created: string | null;
  modified: string | null;
  ended: string | null;
}

export interface IJobPlace extends IPlaceState {
  jobs: IJob[];
}

export interface IJobs {
  now: string;
  places: IJobPlace[];
}

export interface IJobDetail extends IJob {
  detail: string;
  reason: string;
  started: string | null;
  billable_seconds: number | null;
  image: string;
  instance_type: string;
  instance_count: number;
  model_uri: string;
  program: string;
  hyperparameters: Record<string, unknown>;
  metrics: { name: string; value: number; when: string | null }[];
  diagnosis: IDiagnosis | null;
  attach: string;
}

export interface ICellState {
  id: string;
  file: string;
  path: string | null;
  section: string;
  state: 'matches' | 'differs' | 'absent' | 'unknown';
  why: string;
}

export interface IFrame {
  file: string;
  line: number;
}

export interface IFoundFrame extends IFrame {
  cell: string | null;
  section: string;
  cell_line: number | null;
}
