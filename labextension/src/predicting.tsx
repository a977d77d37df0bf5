/** A small editor for a payload, with the answer below. */

import React, { useState } from 'react';

import { Api, ApiError } from './api';
import { bytes } from './formatting';
import { key } from './keeping';
import { Failure } from './parts';
import { EMPTY, mistake, payloads, pretty } from './payloads';
import type { IEndpoint, IPayload, IPrediction } from './routes';

const TYPES = ['application/json', 'text/csv', 'text/plain'];

export function Predicting(props: { of: IEndpoint; api: Api }): JSX.Element {
  const { of, api } = props;
  const [payload, setPayload] = useState(payloads.get(key(of)) ?? EMPTY);
  const [answer, setAnswer] = useState<IPrediction | null>(null);
  const [problem, setProblem] = useState<ApiError | null>(null);
  const [said, setSaid] = useState('');
  const [isSending, setSending] = useState(false);

  const change = (part: Partial<IPayload>): void => {
    const changed = { ...payload, ...part };
    payloads.set(key(of), changed);
    setPayload(changed);
    setSaid('');
  };
  const send = async (): Promise<void> => {
    const wrong = mistake(payload);
    setSaid(wrong);
    if (wrong || isSending) {
      return;
    }
    setSending(true);
    try {
      setAnswer(await api.predict(of, payload));
      setProblem(null);
    } catch (reason) {
      setProblem(ApiError.of(reason));
    } finally {
      setSending(false);
    }
  };

  return (
    <div className="jp-SmMagics-predicting">
      <textarea
        aria-label={`Payload for ${of.name}`}
        placeholder='[[1, 2, 3]]  or  {"inputs": …}'
        spellCheck={false}
        rows={4}
        value={payload.body}
        autoFocus
        onChange={event => change({ body: event.target.value })}
        onKeyDown={event => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            event.stopPropagation();
            void send();
          }
        }}
      />
      <div className="jp-SmMagics-sending">
        <select
          aria-label="Content type"
          className="jp-SmMagics-select"
          value={payload.content_type}
          onChange={event => change({ content_type: event.target.value })}
        >
          {TYPES.map(type => (
            <option key={type}>{type}</option>
          ))}
        </select>
        <button
          className="jp-SmMagics-button jp-mod-styled jp-mod-accept"
          title="Ctrl+Enter"
          disabled={isSending}
          onClick={() => void send()}
        >
          {isSending ? 'Sending…' : 'Send'}
        </button>
      </div>
      {said && <p role="alert">{said}</p>}
      {problem && <Failure of={problem} />}
      {answer && !problem && <Answer of={answer} />}
    </div>
  );
}

function Answer({ of }: { of: IPrediction }): JSX.Element {
  const facts = [
    `${of.milliseconds < 10 ? of.milliseconds.toFixed(1) : Math.round(of.milliseconds)} ms`,
    of.content_type,
    bytes(of.size)
  ];
  return (
    <div className="jp-SmMagics-answer" aria-live="polite">
      <div className="jp-SmMagics-dim">{facts.join(' · ')}</div>
      <pre tabIndex={0}>
        {of.encoding === 'text'
          ? pretty(of.body)
          : `${bytes(of.size)} that are no text`}
        {of.truncated && '\n…'}
      </pre>
    </div>
  );
}
