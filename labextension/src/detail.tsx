/** What an open row shows of its endpoint. */

import React, { useCallback, useState } from 'react';

import type { IActions } from './actions';
import { clock, dollars, instances, state } from './formatting';
import { useFollowed } from './following';
import { key } from './keeping';
import { Jump } from './linked';
import { Log } from './log';
import type { Model } from './model';
import { Action, Diagnosis, Facts, Failure } from './parts';
import { Predicting } from './predicting';
import type { IEndpoint, IEndpointDetail, IFrame, IVariant } from './routes';
import { EMPTY, payloads } from './payloads';

const DETAILS = 30_000;

export function EndpointDetail(props: {
  row: IEndpoint;
  model: Model;
  actions: IActions;
}): JSX.Element {
  const { row, model, actions } = props;
  const [isPredicting, setPredicting] = useState(false);
  const { value, problem } = useFollowed(
    () => model.api.endpoint(row),
    `${key(row)} ${row.status} ${row.modified}`,
    DETAILS,
    () => model.isVisible && !model.isGoing(row)
  );
  const known = value ?? row;
  const isServing = ['InService', 'Updating', 'RollingBack'].includes(
    row.status
  );
  const notebook = known.notebook_path;
  const jump = useCallback(
    (place: IFrame) => notebook && actions.showCell(notebook, place),
    [notebook]
  );
  return (
    <Jump.Provider value={notebook ? jump : null}>
      <div className="jp-SmMagics-detail">
        <div className="jp-SmMagics-actions">
          {isServing && (
            <Action
              label="Predict"
              isPressed={isPredicting}
              onClick={() => setPredicting(!isPredicting)}
            />
          )}
          <Action
            label="Copy snippet"
            title="Put the code of a call into the current notebook"
            onClick={event =>
              void actions.offerSnippets(
                row,
                payloads.get(key(row)) ?? EMPTY,
                event.currentTarget
              )
            }
          />
          {notebook && (
            <Action
              label="Open notebook"
              title={known.notebook ?? ''}
              onClick={() => actions.openNotebook(notebook)}
            />
          )}
          <Action
            label="Delete…"
            isRisky
            isDisabled={model.isGoing(row)}
            onClick={() => void actions.remove(row)}
          />
        </div>
        {isPredicting && isServing && <Predicting of={row} api={model.api} />}
        {problem && !value && <Failure of={problem} />}
        {value?.diagnosis && <Diagnosis of={value.diagnosis} />}
        {!value?.diagnosis && row.reason && state(row.status) === 'bad' && (
          <p>{row.reason}</p>
        )}
        {value && <Described of={value} />}
        <Log
          kind="endpoints"
          of={row}
          model={model}
          stamp={row.status}
          isSeen={() => model.isVisible && !model.isGoing(row)}
        />
      </div>
    </Jump.Provider>
  );
}

function Described({ of }: { of: IEndpointDetail }): JSX.Element {
  const images = [...new Set(of.variants.map(one => one.image))].filter(
    Boolean
  );
  const tags = Object.entries(of.tags);
  return (
    <>
      <Facts
        of={[
          ['Created', of.created && clock(of.created)],
          ['Notebook', of.notebook_path || of.notebook],
          ['So far', of.cost_so_far ? dollars(of.cost_so_far) : ''],
          [
            'Image',
            images.length > 0 &&
              images.map(image => <Image key={image} of={image} />)
          ],
          ['Config', of.config_name],
          ...of.variants.map((one): [string, React.ReactNode] => [
            of.variants.length > 1 ? one.name : 'Variant',
            <Variant key={one.name} of={one} isLocal={of.where === 'local'} />
          ])
        ]}
      />
      {(of.config_problem || of.tags_problem) && (
        <p>{(of.config_problem ?? of.tags_problem)?.message}</p>
      )}
      {tags.length > 0 && (
        <details>
          <summary>
            {tags.length} {tags.length > 1 ? 'tags' : 'tag'}
          </summary>
          <Facts of={tags} />
        </details>
      )}
    </>
  );
}

/** An image by its name and tag; the registry's address is in the way. */
function Image({ of }: { of: string }): JSX.Element {
  return <span title={of}>{of.replace(/^.*\//, '')}</span>;
}

function Variant(props: { of: IVariant; isLocal: boolean }): JSX.Element {
  const { of, isLocal } = props;
  const runsOn = of.serverless
    ? `serverless, ${of.serverless.memory_mb / 1024} GB`
    : instances(
        of.current_instance_count,
        of.desired_instance_count,
        isLocal ? 'worker' : of.instance_type && `× ${of.instance_type}`
      );
  const share =
    of.traffic !== null && of.traffic < 1
      ? `${Math.round(of.traffic * 100)} % of requests`
      : '';
  return (
    <span title={of.model_data}>
      {[of.model, runsOn, share].filter(Boolean).join(' · ')}
    </span>
  );
}
