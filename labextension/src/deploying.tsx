/** The question what is deployed, and where: becomes a cell. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import React from 'react';

import { insertMagics } from './cells';
import { command, IDeployment } from './deployment';
import { askModels, IModelVariable } from './kernel';
import type { Model } from './model';

/** Ask, and put the cell into the notebook, run if that is wanted. */
export async function askAndDeploy(
  panel: NotebookPanel,
  model: Model
): Promise<void> {
  const body = new Question(panel, model);
  const dialog = new Dialog({
    title: 'Package and deploy',
    body,
    buttons: [
      Dialog.cancelButton(),
      Dialog.createButton({
        label: 'Insert cell',
        actions: ['insert']
      }),
      Dialog.okButton({ label: 'Deploy' })
    ],
    focusNodeSelector: 'select, input'
  });
  const { button } = await dialog.launch();
  const deployment = body.getValue();
  const inserts = button.actions.includes('insert');
  if ((button.accept || inserts) && deployment.model) {
    const standard = model.defaults?.instance_type || 'local';
    await insertMagics(panel, command(deployment, standard), !inserts);
  }
}

class Question extends ReactWidget implements Dialog.IBodyWidget<IDeployment> {
  constructor(
    private readonly _panel: NotebookPanel,
    model: Model
  ) {
    super();
    this.addClass('jp-SmMagics-question');
    const instance = model.defaults?.instance_type || 'local';
    this._value = { model: '', endpoint: '', instance, region: model.region };
    void this._ask();
  }

  getValue(): IDeployment {
    return this._value;
  }

  protected render(): JSX.Element {
    const { model, endpoint, instance } = this._value;
    const variables = this._variables;
    return (
      <>
        <label>
          <span>Model</span>
          {variables?.length ? (
            <select
              value={model}
              onChange={event => this._set({ model: event.target.value })}
            >
              {variables.map(({ name, kind, parameters }) => (
                <option key={name} value={name}>
                  {name} · {kind} · {parameters.toLocaleString('en-US')}{' '}
                  parameters
                </option>
              ))}
            </select>
          ) : (
            <input
              className="jp-mod-styled"
              value={model}
              placeholder="a variable"
              onChange={event => this._set({ model: event.target.value })}
            />
          )}
        </label>
        {!variables?.length && <p role="status">{this._said}</p>}
        <label>
          <span>Endpoint name</span>
          <input
            className="jp-mod-styled"
            value={endpoint}
            placeholder="as the variable is called"
            onChange={event => this._set({ endpoint: event.target.value })}
          />
        </label>
        <label>
          <span>Instance type</span>
          <input
            className="jp-mod-styled"
            value={instance}
            list="jp-SmMagics-instances"
            onChange={event => this._set({ instance: event.target.value })}
          />
          <datalist id="jp-SmMagics-instances">
            <option value="local">this machine</option>
            {['ml.m5.large', 'ml.c5.xlarge', 'ml.g4dn.xlarge'].map(type => (
              <option key={type} value={type} />
            ))}
          </datalist>
        </label>
      </>
    );
  }

  private _set(part: Partial<IDeployment>): void {
    this._value = { ...this._value, ...part };
    this.update();
  }

  private async _ask(): Promise<void> {
    const { sessionContext } = this._panel;
    const isBusy = sessionContext.session?.kernel?.status === 'busy';
    this._said = isBusy
      ? 'The kernel is busy; its models are listed when the cell is done.'
      : 'Asking the kernel for its models…';
    const variables = await askModels(sessionContext).catch(() => null);
    this._variables = variables;
    this._said =
      variables === null
        ? 'The kernel cannot be asked for its models.'
        : 'The kernel has no model yet: run the cell that makes one, or name it.';
    this._set({ model: this._value.model || variables?.[0]?.name || '' });
  }

  private _value: IDeployment;
  private _variables: IModelVariable[] | null = null;
  private _said = '';
}
