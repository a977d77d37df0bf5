/** The question before anything is deleted, which lists what goes and what stays. */

import { Dialog, Notification, ReactWidget } from '@jupyterlab/apputils';
import React from 'react';

import { ApiError } from './api';
import type { Model } from './model';
import { Notice } from './parts';
import type { IEndpoint, IRemovalPlan } from './routes';

/** Ask, delete what was confirmed, and say what went wrong. */
export async function askAndRemove(
  endpoint: IEndpoint,
  model: Model
): Promise<void> {
  try {
    let plan: IRemovalPlan | null = await model.api.removalPlan(
      endpoint,
      false
    );
    let isChanged = false;
    while (plan) {
      const confirmed = await confirm(endpoint, plan, isChanged, model);
      if (!confirmed) {
        return;
      }
      try {
        await model.remove(endpoint, confirmed);
        return;
      } catch (reason) {
        const error = ApiError.of(reason);
        if (error.code !== 'PlanChanged') {
          throw error;
        }
        plan = error.details.plan as IRemovalPlan;
        isChanged = true;
      }
    }
  } catch (reason) {
    const { message, hint } = ApiError.of(reason);
    Notification.error(
      `${endpoint.name} was not deleted: ${message}${hint ? `\n${hint}` : ''}`,
      { autoClose: false }
    );
  }
}

async function confirm(
  endpoint: IEndpoint,
  plan: IRemovalPlan,
  isChanged: boolean,
  model: Model
): Promise<IRemovalPlan | null> {
  const body = new Question(endpoint, plan, isChanged, model);
  const dialog = new Dialog({
    title: `Delete ${endpoint.name} ${endpoint.where === 'local' ? 'on' : 'in'} ${endpoint.place}?`,
    body,
    buttons: [
      Dialog.cancelButton({ label: 'Keep' }),
      Dialog.warnButton({ label: 'Delete' })
    ],
    defaultButton: 0
  });
  const result = await dialog.launch();
  return result.button.accept ? body.getValue() : null;
}

/** What goes, in this order; in AWS the model data on request. */
class Question extends ReactWidget implements Dialog.IBodyWidget<IRemovalPlan> {
  constructor(
    private readonly _endpoint: IEndpoint,
    private _plan: IRemovalPlan,
    private readonly _isChanged: boolean,
    private readonly _model: Model
  ) {
    super();
    this.addClass('jp-SmMagics-question');
  }

  getValue(): IRemovalPlan {
    return this._plan;
  }

  protected render(): JSX.Element {
    const { rows, kept } = this._plan;
    return (
      <>
        {this._isChanged && (
          <p>What would go has changed meanwhile. It is now:</p>
        )}
        <table>
          <tbody>
            {rows.map(row => (
              <tr key={`${row.kind} ${row.name}`}>
                <td>{row.kind}</td>
                <td>{row.name}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {kept.map(line => (
          <p key={line}>Kept: {line}</p>
        ))}
        {this._endpoint.where !== 'local' && (
          <label>
            <input
              type="checkbox"
              checked={this._plan.artifacts}
              onChange={event => void this._look(event.target.checked)}
            />
            the model data in S3 too
          </label>
        )}
        {this._problem && <Notice of={this._problem} />}
      </>
    );
  }

  private async _look(artifacts: boolean): Promise<void> {
    try {
      this._problem = null;
      this._plan = await this._model.api.removalPlan(this._endpoint, artifacts);
    } catch (reason) {
      this._problem = ApiError.of(reason);
    }
    this.update();
  }

  private _problem: ApiError | null = null;
}
