/** The sections of the panel: a heading, what has to be said, and rows, drawn as far as they are looked at. */

import React, { useEffect, useRef, useState } from 'react';

import type { IActions } from './actions';
import { count, dollars } from './formatting';
import { listed } from './listing';
import type { Model } from './model';
import { trouble } from './notices';
import { Action, Notice } from './parts';
import type { IEndpoint, IJob } from './routes';

/** Rows that are drawn at once: no more fit a screen, and more would hold it up. */
const PAGE = 40;

/** The endpoints of this machine, or of AWS in the region that is chosen. */
export function PlaceSection(props: {
  isLocal: boolean;
  model: Model;
  actions: IActions;
  filter: string;
  showsAll: boolean;
  onShowAll: () => void;
  onStart: () => void;
  draw: (row: IEndpoint) => JSX.Element;
}): JSX.Element {
  const { isLocal, model } = props;
  const place = model.endpoints.find(at => (at.where === 'local') === isLocal);
  const { shown, others, unknown } = place
    ? listed(place, props.filter, props.showsAll)
    : { shown: [], others: 0, unknown: 0 };
  const problem = trouble(place, model.status);
  const cost = shown.reduce((sum, row) => sum + (row.cost_per_hour ?? 0), 0);
  return (
    <section
      className="jp-SmMagics-section"
      aria-label={isLocal ? 'This machine' : 'AWS'}
    >
      <header>
        <h3>{isLocal ? 'This machine' : 'AWS'}</h3>
        {isLocal || <Region model={model} actions={props.actions} />}
        <span className="jp-SmMagics-sum">
          {shown.length > 0 && shown.length}
          {cost > 0 && ` · ${dollars(cost)}/h`}
        </span>
      </header>
      {problem && <Notice of={problem} state={problem.state} />}
      {!isLocal && !model.region && (
        <p className="jp-SmMagics-empty">
          {model.usesAws
            ? 'Choose a region to see your endpoints there.'
            : 'AWS is not asked.'}
        </p>
      )}
      {place?.state === 'stopped' && (
        <p className="jp-SmMagics-empty">
          SageMaker on this machine is not running.
          <Action label="Start" onClick={props.onStart} />
        </p>
      )}
      {shown.length > 0 && <Rows of={shown} draw={props.draw} />}
      {place && place.state !== 'stopped' && shown.length + unknown === 0 && (
        <p className="jp-SmMagics-empty">
          {emptiness(place.state, problem !== null, props.filter)}
        </p>
      )}
      {unknown > 0 && (
        <p className="jp-SmMagics-empty">
          Looking up whose {count(unknown, 'endpoint')} are…
        </p>
      )}
      {others > 0 && (
        <p className="jp-SmMagics-empty">
          {count(others, 'endpoint')} of others.
          <Action label="Show all" onClick={props.onShowAll} />
        </p>
      )}
    </section>
  );
}

function emptiness(state: string, hasProblem: boolean, filter: string): string {
  if (state === 'waiting') {
    return 'Asking…';
  }
  if (hasProblem) {
    return '';
  }
  return filter ? 'None fits the filter.' : 'No endpoints of yours.';
}

function Region(props: { model: Model; actions: IActions }): JSX.Element {
  const { model } = props;
  const regions = model.defaults?.regions ?? [];
  const all = regions.includes(model.region)
    ? regions
    : [model.region, ...regions];
  return (
    <select
      className="jp-SmMagics-select"
      aria-label="AWS region"
      title={model.status?.aws?.user ?? undefined}
      value={model.region}
      onChange={event => props.actions.setRegion(event.target.value || 'local')}
    >
      <option value="">{model.region ? 'not asked' : 'no region'}</option>
      {all.filter(Boolean).map(region => (
        <option key={region}>{region}</option>
      ))}
    </select>
  );
}

/** Training jobs, asked for once the section is open. */
export function JobSection(props: {
  model: Model;
  filter: string;
  draw: (row: IJob) => JSX.Element;
}): JSX.Element {
  const { model } = props;
  const isOpen = model.showsJobs;
  const words = props.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = model.jobs
    .flatMap(at => at.jobs)
    .filter(row => words.every(word => row.name.toLowerCase().includes(word)));
  return (
    <section className="jp-SmMagics-section" aria-label="Training jobs">
      <header>
        <h3>
          <button
            className="jp-SmMagics-fold"
            aria-expanded={isOpen}
            onClick={() => model.showJobs(!isOpen)}
          >
            Training jobs
          </button>
        </h3>
        <span className="jp-SmMagics-sum">
          {isOpen && rows.length > 0 && rows.length}
        </span>
      </header>
      {isOpen && rows.length > 0 && <Rows of={rows} draw={props.draw} />}
      {isOpen && rows.length === 0 && (
        <p className="jp-SmMagics-empty">
          {model.jobs.length && model.jobs.every(at => at.state !== 'waiting')
            ? 'No training jobs.'
            : 'Asking…'}
        </p>
      )}
    </section>
  );
}

/** Rows as far as somebody has scrolled. */
function Rows<T>(props: {
  of: T[];
  draw: (row: T) => JSX.Element;
}): JSX.Element {
  const [limit, setLimit] = useState(PAGE);
  const end = useRef<HTMLLIElement>(null);
  const isCut = props.of.length > limit;
  useEffect(() => {
    if (!end.current) {
      return;
    }
    const observer = new IntersectionObserver(
      seen =>
        seen.some(one => one.isIntersecting) &&
        setLimit(former => former + PAGE),
      { rootMargin: '400px' }
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [isCut, limit]);
  return (
    <ul>
      {props.of.slice(0, limit).map(props.draw)}
      {isCut && <li ref={end} className="jp-SmMagics-end" aria-hidden="true" />}
    </ul>
  );
}
