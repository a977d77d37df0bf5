/** The last lines that an endpoint or a job has printed. */

import React, { useLayoutEffect, useRef } from 'react';

import type { IAddress, Kind } from './api';
import { useFollowed } from './following';
import { key } from './keeping';
import { Linked } from './linked';
import type { Model } from './model';
import { Notice } from './parts';

const LINES = 100;
const EVERY: Record<'local' | 'aws', number> = { local: 3000, aws: 15_000 };

export function Log(props: {
  kind: Kind;
  of: IAddress;
  model: Model;
  stamp: string;
  isSeen?: () => boolean;
}): JSX.Element {
  const { kind, of, model } = props;
  const end = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  const { value, problem } = useFollowed(
    () => model.api.log(kind, of, LINES),
    `${key(of)} ${props.stamp}`,
    EVERY[of.where === 'local' ? 'local' : 'aws'],
    props.isSeen ?? (() => model.isVisible)
  );
  const text = value?.lines.join('\n') ?? '';
  useLayoutEffect(() => {
    if (end.current && isAtEnd.current) {
      end.current.scrollTop = end.current.scrollHeight;
    }
  }, [text]);
  if (problem && !value) {
    return <Notice of={problem} state="warn" />;
  }
  return (
    <div className="jp-SmMagics-log">
      <div className="jp-SmMagics-dim">
        {value === null
          ? 'Reading the log…'
          : text
            ? `Log${value.truncated ? `, last ${value.lines.length} lines` : ''}`
            : 'It has printed nothing yet.'}
      </div>
      {text && (
        <pre
          ref={end}
          tabIndex={0}
          aria-label={`Log of ${of.name}`}
          onScroll={({ currentTarget: at }) => {
            isAtEnd.current =
              at.scrollTop + at.clientHeight > at.scrollHeight - 8;
          }}
        >
          <Linked text={text} />
        </pre>
      )}
    </div>
  );
}
