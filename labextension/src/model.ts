/** What the panel shows: state that is asked for while somebody looks, and a signal when it has changed. */

import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError, IAddress } from './api';
import { kept, key } from './keeping';
import type * as routes from './routes';

/** Milliseconds: while something changes by itself, while nothing does, and while only the status bar is seen. */
const SOON = 1500;
const UNSEEN = 30_000;
const AT_MOST = 60_000;
const STATUS = 30_000;
const JOBS = 10_000;

export interface ISettings {
  /** An AWS region; empty: the server's; `local`: AWS is not asked. */
  region: string;
  profile: string;
  /** Seconds between two looks. */
  pollInterval: number;
}

/** The kernel of the current notebook: the version of sm_magics in it, null where it has none. */
export interface IKernel {
  version: string | null;
}

export class Model {
  constructor(readonly api: Api) {
    const frequency = { interval: UNSEEN, backoff: true, max: AT_MOST };
    this._endpoints = new Poll({
      name: 'sm-magics:endpoints',
      auto: false,
      factory: () => this._askEndpoints(),
      frequency,
      standby: 'when-hidden'
    });
    this._status = new Poll({
      name: 'sm-magics:status',
      auto: false,
      factory: () => this._askStatus(),
      frequency: { interval: STATUS, backoff: true, max: AT_MOST },
      standby: () => (this._isVisible ? 'when-hidden' : true) as Poll.Standby
    });
    this._jobs = new Poll({
      name: 'sm-magics:jobs',
      auto: false,
      factory: () => this._askJobs(),
      frequency: { interval: JOBS, backoff: true, max: AT_MOST },
      standby: () =>
        (this._isVisible && this.showsJobs
          ? 'when-hidden'
          : true) as Poll.Standby
    });
  }

  defaults: routes.IDefaults | null = null;
  status: routes.IStatus | null = null;
  kernel: IKernel | null = null;
  /** Why nothing newer is known at all. */
  problem: ApiError | null = null;
  now = '';
  endpoints: routes.IEndpointPlace[] = [];
  jobs: routes.IJobPlace[] = [];
  showsJobs = false;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Somebody has begun to look. */
  get shown(): ISignal<this, void> {
    return this._shown;
  }

  /** The AWS region that is shown, empty if there is none. */
  get region(): string {
    const chosen = this._settings.region || this.defaults?.region || '';
    return chosen === 'local' ? '' : chosen;
  }

  get profile(): string {
    return this._settings.profile;
  }

  /** Whether AWS is asked at all. */
  get usesAws(): boolean {
    return (this._settings.region || this.defaults?.region) !== 'local';
  }

  /** The places that are asked, this machine first. */
  get where(): string[] {
    return this.region ? ['local', this.region] : ['local'];
  }

  get isVisible(): boolean {
    return this._isVisible;
  }

  /** Whether the panel is seen: AWS is asked only then. */
  set isVisible(value: boolean) {
    if (value === this._isVisible) {
      return;
    }
    this._isVisible = value;
    this._setPace();
    if (value) {
      void this.refresh();
      void this._status.refresh();
      void this._jobs.refresh();
      this._shown.emit();
    }
  }

  start(settings: ISettings): void {
    this.configure(settings);
    void this._endpoints.start();
    void this._status.start();
    void this._jobs.start();
    void this._learnDefaults();
  }

  configure(settings: ISettings): void {
    const former = this._settings;
    this._settings = settings;
    this.api.profile = settings.profile;
    this._setPace();
    if (
      former.region !== settings.region ||
      former.profile !== settings.profile
    ) {
      this.endpoints = this.endpoints.filter(at => at.where === 'local');
      this.jobs = this.jobs.filter(at => at.where === 'local');
      this.status = null;
      this.tell();
      void this.refresh();
      void this._status.refresh();
      void this._jobs.refresh();
    }
  }

  /** Ask again now. `isFresh`: what the server has from before is not good enough. */
  async refresh(isFresh = false): Promise<void> {
    this._isFresh = this._isFresh || isFresh;
    await this._endpoints.refresh();
  }

  showJobs(value: boolean): void {
    this.showsJobs = value;
    this.tell();
    void this._jobs.refresh();
  }

  async startLocal(): Promise<void> {
    await this.api.startLocal();
    void this._status.refresh();
    await this.refresh(true);
  }

  /** Delete what was confirmed, and return once it has gone. */
  async remove(of: IAddress, plan: routes.IRemovalPlan): Promise<void> {
    this._going.add(key(of));
    this.tell();
    let removal: routes.IRemoval;
    try {
      removal = await this.api.remove(of, plan);
      await this.refresh(true);
      while (removal.state === 'running') {
        await new Promise(resolve => setTimeout(resolve, SOON));
        removal = await this.api.removal(removal.id);
      }
      await this.refresh(true);
    } finally {
      this._going.delete(key(of));
      this.tell();
    }
    if (removal.problem) {
      throw new ApiError(removal.problem);
    }
  }

  /** Whether an endpoint is being deleted: nothing more is asked of it. */
  isGoing(row: routes.IEndpoint): boolean {
    return (
      row.removal !== null ||
      row.status === 'Deleting' ||
      this._going.has(key(row))
    );
  }

  /** The kernel of the current notebook is another, or was asked. */
  setKernel(kernel: IKernel | null): void {
    this.kernel = kernel;
    this.tell();
  }

  tell(): void {
    this._changed.emit();
  }

  private async _learnDefaults(): Promise<void> {
    try {
      this.defaults = await this.api.defaults();
      this.tell();
      void this.refresh();
      void this._status.refresh();
    } catch (reason) {
      this.problem = ApiError.of(reason);
      this.tell();
    }
  }

  private async _askEndpoints(): Promise<void> {
    const where = this._isVisible ? this.where : ['local'];
    const isFresh = this._isFresh;
    this._isFresh = false;
    try {
      const answer = await this.api.endpoints(where, isFresh);
      if (this.defaults === null) {
        void this._learnDefaults();
      }
      this.now = answer.now;
      this.problem = null;
      this.endpoints = this._placed(answer.places, this.endpoints).map(at => ({
        ...at,
        endpoints: kept(this._rows, at.endpoints)
      }));
      this._setPace();
      this.tell();
    } catch (reason) {
      this._isFresh = isFresh;
      this.problem = ApiError.of(reason);
      this.tell();
      throw reason; // the poll backs off
    }
  }

  private async _askStatus(): Promise<void> {
    const region = this.usesAws ? this.region : 'local';
    const status = await this.api.status(region);
    if (region === (this.usesAws ? this.region : 'local')) {
      this.status = status;
      this.tell();
    }
  }

  private async _askJobs(): Promise<void> {
    const answer = await this.api.jobs(this.where, false);
    this.jobs = this._placed(answer.places, this.jobs).map(at => ({
      ...at,
      jobs: kept(this._jobRows, at.jobs)
    }));
    this.tell();
  }

  /** The places that are wanted now: as answered, and where one was not asked, as known before. */
  private _placed<T extends routes.IPlaceState>(answered: T[], known: T[]) {
    return this.where.flatMap(where => {
      const place =
        answered.find(one => one.where === where) ??
        known.find(one => one.where === where);
      return place ? [place] : [];
    });
  }

  private _setPace(): void {
    const isMoving = this.endpoints.some(
      at =>
        at.state === 'waiting' ||
        at.incomplete > 0 ||
        at.endpoints.some(one => one.moving || one.removal)
    );
    const seen = isMoving ? SOON : this._settings.pollInterval * 1000;
    const interval = this._isVisible ? seen : isMoving ? SOON * 2 : UNSEEN;
    this._endpoints.frequency = { interval, backoff: true, max: AT_MOST };
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _shown = new Signal<this, void>(this);
  private readonly _endpoints: Poll;
  private readonly _status: Poll;
  private readonly _jobs: Poll;
  private readonly _going = new Set<string>();
  private readonly _rows = new Map<string, routes.IEndpoint>();
  private readonly _jobRows = new Map<string, routes.IJob>();
  private _settings: ISettings = { region: '', profile: '', pollInterval: 5 };
  private _isVisible = false;
  private _isFresh = false;
}
