/** What the panel shows. */

import { refreshIcon } from '@jupyterlab/ui-components';
import React, { useCallback, useState } from 'react';

import type { IActions } from './actions';
import { ApiError } from './api';
import { EndpointRow, since } from './endpoints';
import { deployIcon } from './icons';
import { JobRow } from './jobs';
import { key } from './keeping';
import type { Model } from './model';
import { notices } from './notices';
import { Action, Notice } from './parts';
import { JobSection, PlaceSection } from './sections';
import { useModel } from './using';

export default function View(props: {
  model: Model;
  actions: IActions;
}): JSX.Element {
  const { model, actions } = props;
  useModel(model);
  const [filter, setFilter] = useState('');
  const [showsAll, setShowsAll] = useState(false);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [failure, setFailure] = useState<ApiError | null>(null);
  const toggle = useCallback((row: { where: string; name: string }) => {
    setOpen(former => {
      const changed = new Set(former);
      if (!changed.delete(key(row))) {
        changed.add(key(row));
      }
      return changed;
    });
  }, []);
  const toggleJob = useCallback(
    (row: { where: string; name: string }) =>
      toggle({ where: `job ${row.where}`, name: row.name }),
    []
  );
  const start = () => {
    setFailure(null);
    model.startLocal().catch(reason => setFailure(ApiError.of(reason)));
  };
  const said = notices(model);
  return (
    <>
      <div className="jp-SmMagics-bar">
        <h2>SageMaker</h2>
        <button
          className="jp-SmMagics-icon"
          title="Package and deploy a model of the current notebook"
          aria-label="Package and deploy"
          onClick={() => actions.deploy()}
        >
          <deployIcon.react tag="span" />
        </button>
        <button
          className="jp-SmMagics-icon"
          title="Ask again now"
          aria-label="Refresh"
          onClick={() => void model.refresh(true)}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      {said.map(notice => (
        <Notice key={notice.code} of={notice} state={notice.state}>
          {model.problem && (
            <Action label="Try again" onClick={() => void model.refresh()} />
          )}
        </Notice>
      ))}
      {failure && <Notice of={failure} />}
      {!(model.problem && model.endpoints.length === 0) && (
        <>
          <div className="jp-SmMagics-find">
            <input
              type="search"
              className="jp-SmMagics-filter jp-mod-styled"
              placeholder="Filter"
              aria-label="Filter endpoints"
              value={filter}
              onChange={event => setFilter(event.target.value)}
            />
            <label title="Also what others have deployed">
              <input
                type="checkbox"
                checked={showsAll}
                onChange={event => setShowsAll(event.target.checked)}
              />
              All
            </label>
          </div>
          <div className="jp-SmMagics-lists" onKeyDown={walk}>
            {['local', 'aws'].map(kind => (
              <PlaceSection
                key={kind}
                isLocal={kind === 'local'}
                model={model}
                actions={actions}
                filter={filter}
                showsAll={showsAll}
                onShowAll={() => setShowsAll(true)}
                onStart={start}
                draw={row => (
                  <EndpointRow
                    key={key(row)}
                    row={row}
                    since={since(row.created, model.now)}
                    isOpen={open.has(key(row))}
                    onToggle={toggle}
                    model={model}
                    actions={actions}
                  />
                )}
              />
            ))}
            <JobSection
              model={model}
              filter={filter}
              draw={row => (
                <JobRow
                  key={key(row)}
                  row={row}
                  since={since(row.created, model.now)}
                  isOpen={open.has(`job ${key(row)}`)}
                  onToggle={toggleJob}
                  model={model}
                  actions={actions}
                />
              )}
            />
          </div>
        </>
      )}
    </>
  );
}

/** The arrow keys go from row to row. */
function walk(event: React.KeyboardEvent<HTMLElement>): void {
  const at = (event.target as HTMLElement).closest('.jp-SmMagics-head');
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!at || !step) {
    return;
  }
  const heads = Array.from(
    event.currentTarget.querySelectorAll<HTMLElement>('.jp-SmMagics-head')
  );
  heads[heads.indexOf(at as HTMLElement) + step]?.focus();
  event.preventDefault();
}
