/** The cell with the four handlers, as they are for a model that takes and gives tensors as JSON. */

import type { NotebookPanel } from '@jupyterlab/notebook';

import { insertMagics } from './cells';

const HANDLERS = `%%sm_inference
import json
import os

import torch

from sm_model import build_model


def model_fn(model_dir):
    """Return the model, ready to predict; called once for each worker."""
    model = build_model()
    weights = torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()


def input_fn(request_body, content_type):
    """Return what the model takes, from a request."""
    if content_type != "application/json":
        raise ValueError(f"application/json is expected, not {content_type}")
    return torch.tensor(json.loads(request_body), dtype=torch.float32)


def predict_fn(data, model):
    """Return the model's answer."""
    with torch.inference_mode():
        return model(data)


def output_fn(prediction, accept):
    """Return the answer as it is sent."""
    return json.dumps(prediction.tolist()), "application/json"`;

/** Insert the cell below the active one. */
export function insertHandlers(panel: NotebookPanel): Promise<void> {
  return insertMagics(panel, HANDLERS, false);
}
