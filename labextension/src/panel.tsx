/** The side panel: endpoints on this machine and in AWS, and training jobs. Its view is loaded when it is first seen. */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React, { lazy, Suspense } from 'react';

import type { IActions } from './actions';
import { smMagicsIcon } from './icons';
import type { Model } from './model';

const View = lazy(() => import('./view'));

export class SmMagicsPanel extends ReactWidget {
  constructor(
    private readonly _model: Model,
    private readonly _actions: IActions
  ) {
    super();
    this.id = 'sm-magics-panel';
    this.title.icon = smMagicsIcon;
    this.title.caption = 'SageMaker';
    this.addClass('jp-SmMagics-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'SageMaker');
  }

  /** Put the cursor where names are looked for. */
  focus(): void {
    this.node.querySelector<HTMLElement>('.jp-SmMagics-filter')?.focus();
  }

  protected render(): JSX.Element {
    return this._hasBeenSeen ? (
      <Suspense fallback={null}>
        <View model={this._model} actions={this._actions} />
      </Suspense>
    ) : (
      <></>
    );
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._hasBeenSeen = true;
    this._model.isVisible = true;
    this.update();
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._model.isVisible = false;
  }

  private _hasBeenSeen = false;
}
