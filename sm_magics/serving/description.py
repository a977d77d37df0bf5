"""What TorchServe answers to OPTIONS on ``/invocations``: an OpenAPI description of the model, the same for all."""

from __future__ import annotations

import json
from typing import Any

from .messages import Answer

_PATHS = ("/prediction/model", "/v1/models/{model_name}:predict", "/v2/models/{model_name}/infer")
_ERROR = {
    "code": {"type": "integer", "description": "Error code."},
    "type": {"type": "string", "description": "Error type."},
    "message": {"type": "string", "description": "Error message."},
}


def describe() -> Answer:
    """Return the description."""
    schema = {"type": "object", "required": list(_ERROR), "properties": _ERROR}
    failure = {"description": "Internal Server Error", "content": {"application/json": {"schema": schema}}}
    operation: dict[str, Any] = {
        "description": "A predict entry point for model: model.",
        "operationId": "model",
        "parameters": [],
        "responses": {"200": {"description": "OK"}, "500": failure},
    }
    document = {
        "openapi": "3.0.1",
        "info": {"title": "RESTful API for: model", "version": "1.0.0"},
        "paths": {path: {"post": operation} for path in _PATHS},
    }
    text = json.dumps(document, indent=2) + "\n"
    return Answer(200, "OK", (("content-type", "application/json"),), text.encode())
