"""Runs in a process of its own: loads model directories as the container does, one fork for each."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import torch
from sagemaker_pytorch_serving_container.default_pytorch_inference_handler import DefaultPytorchInferenceHandler


def predict(model_dir: str, inputs: str, result: str) -> None:
    assert "sm_magics" not in sys.modules
    os.chdir(model_dir)
    sys.path[:0] = [f"{model_dir}/code", model_dir]
    import inference

    default = DefaultPytorchInferenceHandler()
    model = getattr(inference, "model_fn", default.default_model_fn)(model_dir)
    torch.manual_seed(5)
    with torch.no_grad():
        torch.save(model(*torch.load(inputs)), result)


for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            predict(**request)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - reported to the test
            with Path(request["result"] + ".error").open("w") as file:
                file.write(traceback.format_exc())
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    error = ""
    if status:
        with Path(request["result"] + ".error").open() as file:
            error = file.read() or "died"
    sys.stdout.write(json.dumps({"error": error}) + "\n")
    sys.stdout.flush()
