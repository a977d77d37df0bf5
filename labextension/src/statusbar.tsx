/** How many endpoints are up and what they cost; a click opens the panel. */

import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { count, dollars } from './formatting';
import { smMagicsIcon } from './icons';
import { total } from './listing';
import type { Model } from './model';
import { useModel } from './using';

export class StatusItem extends ReactWidget {
  constructor(
    private readonly _model: Model,
    private readonly _show: () => void
  ) {
    super();
    this.addClass('jp-SmMagics-status');
  }

  protected render(): JSX.Element {
    return <Item model={this._model} show={this._show} />;
  }
}

function Item(props: { model: Model; show: () => void }): JSX.Element | null {
  const { model } = props;
  useModel(model);
  if (model.problem || !model.now) {
    return null;
  }
  const { up, failed, cost } = total(model.endpoints);
  const said = [count(up, 'endpoint')];
  if (cost > 0) {
    said.push(`${dollars(cost)}/h`);
  }
  if (failed > 0) {
    said.push(`${failed} failed`);
  }
  return (
    <button title="Show SageMaker endpoints" onClick={props.show}>
      <smMagicsIcon.react tag="span" />
      {said.join(' · ')}
    </button>
  );
}
