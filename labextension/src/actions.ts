/** What the panel asks JupyterLab to do: the parts below know no more of it than this. */

import type { IEndpoint, IFrame, IJobDetail, IPayload } from './routes';

export interface IActions {
  /** Ask what goes, and delete it. */
  remove(endpoint: IEndpoint): Promise<void>;
  /** Offer the code of a call, to be put into the current notebook. */
  offerSnippets(
    endpoint: IEndpoint,
    payload: IPayload,
    at: HTMLElement
  ): Promise<void>;
  openNotebook(path: string): void;
  /** Go to the cell of a notebook that wrote a line. */
  showCell(notebook: string, frame: IFrame): void;
  attach(job: IJobDetail): Promise<void>;
  deploy(): void;
  setRegion(region: string): void;
}
