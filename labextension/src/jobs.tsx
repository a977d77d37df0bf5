/** The rows of training jobs, each of which opens. */

import React, { memo } from 'react';

import type { IActions } from './actions';
import { clock, state, statusWord } from './formatting';
import { useFollowed } from './following';
import { key } from './keeping';
import { Log } from './log';
import type { Model } from './model';
import { Action, Diagnosis, Facts, Failure, Sign } from './parts';
import type { IJob, IJobDetail } from './routes';

const DETAILS = 15_000;

/** One training job: how it is, since when and where. */
export const JobRow = memo(function JobRow(props: {
  row: IJob;
  since: string;
  isOpen: boolean;
  onToggle: (row: IJob) => void;
  model: Model;
  actions: IActions;
}): JSX.Element {
  const { row, isOpen } = props;
  return (
    <li
      className="jp-SmMagics-row"
      data-name={row.name}
      data-status={row.status}
    >
      <button
        className="jp-SmMagics-head"
        aria-expanded={isOpen}
        onClick={() => props.onToggle(row)}
      >
        <Sign of={state(row.status)} />
        <span className="jp-SmMagics-name" title={row.name}>
          {row.name}
        </span>
        <span className="jp-SmMagics-age">{props.since}</span>
        <span className="jp-SmMagics-line">
          {`${statusWord(row.status)} · ${row.place}`}
        </span>
      </button>
      {isOpen && (
        <JobDetail row={row} model={props.model} actions={props.actions} />
      )}
    </li>
  );
});

function JobDetail(props: {
  row: IJob;
  model: Model;
  actions: IActions;
}): JSX.Element {
  const { row, model, actions } = props;
  const { value, problem } = useFollowed(
    () => model.api.job(row),
    `${key(row)} ${row.status} ${row.modified}`,
    DETAILS,
    () => model.isVisible
  );
  return (
    <div className="jp-SmMagics-detail">
      <div className="jp-SmMagics-actions">
        <Action
          label="Attach in notebook"
          title={value?.attach}
          isDisabled={!value}
          onClick={() => value && void actions.attach(value)}
        />
      </div>
      {problem && !value && <Failure of={problem} />}
      {value?.diagnosis && <Diagnosis of={value.diagnosis} />}
      {value && <Described of={value} />}
      <Log kind="training-jobs" of={row} model={model} stamp={row.status} />
    </div>
  );
}

function Described({ of }: { of: IJobDetail }): JSX.Element {
  const parameters = Object.entries(of.hyperparameters);
  const minutes = (of.billable_seconds ?? 0) / 60;
  return (
    <>
      <Facts
        of={[
          ['Started', of.started && clock(of.started)],
          ['Instances', `${of.instance_count} × ${of.instance_type}`],
          ['Billable', minutes ? `${minutes.toFixed(1)} min` : ''],
          ['Program', of.program],
          ['Image', of.image.replace(/^.*\//, '')],
          ['Model', of.model_uri],
          ...of.metrics.map((one): [string, string] => [
            one.name,
            Number(one.value.toPrecision(4)).toString()
          ])
        ]}
      />
      {parameters.length > 0 && (
        <details>
          <summary>{parameters.length} hyperparameters</summary>
          <Facts of={parameters.map(([name, one]) => [name, String(one)])} />
        </details>
      )}
    </>
  );
}
