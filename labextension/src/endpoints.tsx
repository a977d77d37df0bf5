/** The rows of endpoints, each of which opens. */

import React, { memo } from 'react';

import type { IActions } from './actions';
import { EndpointDetail } from './detail';
import { age, clock, secondsBetween, state, statusWord } from './formatting';
import { facts } from './listing';
import type { Model } from './model';
import { Sign } from './parts';
import type { IEndpoint } from './routes';

interface IRowProps {
  row: IEndpoint;
  since: string;
  isOpen: boolean;
  onToggle: (row: IEndpoint) => void;
  model: Model;
  actions: IActions;
}

/** One endpoint: how it is, since when, on what and for how much. */
export const EndpointRow = memo(function EndpointRow(
  props: IRowProps
): JSX.Element {
  const { row, isOpen } = props;
  const status = row.removal ? 'Deleting' : row.status;
  return (
    <li className="jp-SmMagics-row" data-name={row.name} data-status={status}>
      <button
        className="jp-SmMagics-head"
        aria-expanded={isOpen}
        onClick={() => props.onToggle(row)}
      >
        <Sign of={state(status)} />
        <span className="jp-SmMagics-name" title={row.name}>
          {row.name}
        </span>
        <span
          className="jp-SmMagics-age"
          title={row.created ? `created ${clock(row.created)}` : undefined}
        >
          {props.since}
        </span>
        <span className="jp-SmMagics-line">
          {[statusWord(status), ...facts(row)].join(' · ')}
        </span>
      </button>
      {isOpen && (
        <EndpointDetail row={row} model={props.model} actions={props.actions} />
      )}
    </li>
  );
});

/** How long ago something was, by the server's clock. */
export function since(created: string | null, now: string): string {
  return created && now ? age(secondsBetween(created, now)) : '';
}
