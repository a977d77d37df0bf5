/** The small parts that everything in the panel is made of. */

import React from 'react';

import { ApiError } from './api';
import { SIGNS, State } from './formatting';
import { Linked } from './linked';
import type { IDiagnosis, IProblem } from './routes';

/** A button that looks like a link. */
export function Action(props: {
  label: string;
  title?: string;
  isRisky?: boolean;
  isPressed?: boolean;
  isDisabled?: boolean;
  onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
}): JSX.Element {
  return (
    <button
      className={`jp-SmMagics-action${props.isRisky ? ' jp-mod-risky' : ''}`}
      title={props.title}
      aria-pressed={props.isPressed}
      disabled={props.isDisabled}
      onClick={props.onClick}
    >
      {props.label}
    </button>
  );
}

/** A sign for a state, in its colour. */
export function Sign({ of }: { of: State }): JSX.Element {
  return (
    <span className="jp-SmMagics-sign" data-state={of} aria-hidden="true">
      {SIGNS[of]}
    </span>
  );
}

/** A sentence, and what to do about it. */
export function Notice(props: {
  of: Omit<IProblem, 'code'>;
  state?: State;
  children?: React.ReactNode;
}): JSX.Element {
  const { message, hint } = props.of;
  return (
    <div className="jp-SmMagics-notice" data-state={props.state ?? 'bad'}>
      <Sign of={props.state ?? 'bad'} />
      <div>
        <span role="status">
          <Linked text={message} />
        </span>
        {hint && <code>{hint}</code>}
        {props.children}
      </div>
    </div>
  );
}

/** Facts with what they are beside them; what is empty is left out. */
export function Facts(props: { of: [string, React.ReactNode][] }): JSX.Element {
  return (
    <dl className="jp-SmMagics-facts">
      {props.of
        .filter(
          ([, value]) => value !== null && value !== '' && value !== false
        )
        .map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
    </dl>
  );
}

/** Why something failed: the cause and the fix first, the traceback on request. */
export function Diagnosis({ of }: { of: IDiagnosis }): JSX.Element {
  return (
    <div className="jp-SmMagics-diagnosis">
      <p>
        <b>
          <Linked text={of.text} />
        </b>
      </p>
      {of.cause && of.cause !== of.text && <p>{of.cause}</p>}
      {of.fix && <p>{of.fix}</p>}
      <Folded title="Traceback" text={of.traceback} />
    </div>
  );
}

/** Lines that are read on request. */
export function Folded(props: {
  title: string;
  text: string;
}): JSX.Element | null {
  return props.text ? (
    <details>
      <summary>{props.title}</summary>
      <pre>
        <Linked text={props.text} />
      </pre>
    </details>
  ) : null;
}

/** What an error of the server says; the traceback, where a model raised it, on request. */
export function Failure({ of }: { of: ApiError }): JSX.Element {
  const traceback = String(of.details.traceback ?? '');
  const message = traceback ? of.message.split('\n\n')[0] : of.message;
  return (
    <Notice of={{ message, hint: of.hint }}>
      <Folded title="Traceback" text={traceback} />
    </Notice>
  );
}
