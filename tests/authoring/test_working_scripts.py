"""Ways of writing that work in the container and are no finding, whatever a check might make of them at first sight."""

from __future__ import annotations

import pytest

LOAD = "import os, torch\ndef model_fn(d):\n    return torch.jit.load(os.path.join(d, 'm.pt'), 'cpu')\n"

WORKING = {
    "a name that is put into globals() by another handler": """
        def model_fn(model_dir):
            globals()["columns"] = ["a", "b"]
            return columns
        def transform_fn(model, body, content_type, accept):
            return ",".join(columns)
    """,
    "names that are put into globals() together": """
        globals().update(LABELS=["a"])
        def output_fn(prediction, accept):
            return LABELS[prediction]
    """,
    "a training script that serves too": """
        import argparse, os, torch
        data_dir = "/opt/ml/input/data"
        def model_fn(model_dir):
            net = torch.nn.Linear(1, 1)
            net.load_state_dict(torch.load(os.path.join(model_dir, "m.pth"), map_location="cpu"))
            return net
        def train(args):
            import no_such_package_for_training
            torch.load("/opt/ml/checkpoints/last.pt").cuda()
            return undefined_in_training
        if __name__ == "__main__":
            import sagemaker_training
            parser = argparse.ArgumentParser()
            parser.add_argument("--data", default=os.environ.get("SM_CHANNEL_TRAINING", "/opt/ml/input/data"))
            train(parser.parse_args())
    """,
    "weights that the same script saves on the CPU": """
        import os, torch
        def model_fn(model_dir):
            net = torch.nn.Linear(1, 1)
            with open(os.path.join(model_dir, "model.pth"), "rb") as f:
                net.load_state_dict(torch.load(f))
            return net
        def save_model(model, model_dir):
            # recommended way from http://pytorch.org/docs/master/notes/serialization.html
            torch.save(model.cpu().state_dict(), os.path.join(model_dir, "model.pth"))
    """,
    "a GPU where there is one": """
        import torch
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        def model_fn(model_dir):
            model = torch.jit.load(model_dir + "/m.pt", map_location=device)
            return model.cuda() if torch.cuda.is_available() else model
    """,
    "state that is read and then put into the model": """
        import torch
        def model_fn(model_dir):
            net = torch.nn.Linear(1, 1)
            checkpoint = torch.load(model_dir + "/c.pt", map_location="cpu")
            net.load_state_dict(checkpoint["model"])
            return net.to("cpu").eval()
    """,
    "a module that is pickled on purpose": """
        import torch
        def model_fn(model_dir):
            model = torch.load(model_dir + "/m.pt", map_location="cpu", weights_only=False)
            return model.eval()
    """,
    "the same name for the state and the model": """
        import torch
        def model_fn(model_dir):
            model = torch.load(model_dir + "/m.pt", map_location="cpu")
            net = torch.nn.Linear(1, 1)
            net.load_state_dict(model)
            model = net
            return model.eval()
    """,
    "a package that is used where it is there": """
        try:
            import apex_that_is_nowhere
        except ImportError:
            apex_that_is_nowhere = None
        def predict_fn(data, model):
            return model(data)
    """,
    "a fallback for a library": """
        try:
            import orjson_that_is_nowhere as json
        except ModuleNotFoundError:
            import json
        def input_fn(body, content_type):
            return json.loads(body)
    """,
    "a log file, and what every Linux has": """
        import tempfile
        def input_fn(body, content_type):
            with open("/tmp/body", "wb") as file:
                file.write(body)
            return "/dev/shm", "/etc/ssl/certs", "/"
    """,
    "text that reads like a path": '''
        """/home/me/notes.txt says how this was made."""
        ROUTES = {"page": "/about", "url": "https://example.com/home/me/x"}
        def output_fn(prediction, accept):
            return ROUTES, "C: drive", "a/b"
    ''',
    "handlers with the context, and with defaults": """
        def input_fn(body, content_type="application/json", context=None):
            return body
        def output_fn(prediction, accept="application/json"):
            return prediction
    """,
    "a model_fn that is not needed": """
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            return data
    """,
    "helpers whose names are near a handler's": """
        def _predict_fn(data, model):
            return model(data)
        def transform_fn(model, body, content_type, accept):
            return _predict_fn(body, model)
    """,
    "AWS's own libraries": """
        import boto3, numpy
        from sagemaker_inference import content_types, decoder, default_inference_handler, encoder
        from sagemaker_pytorch_serving_container import default_pytorch_inference_handler
        def input_fn(body, content_type):
            return decoder.decode(body, content_type)
    """,
    "what the image has, by the names it is imported by": """
        import PIL.Image, cv2, sklearn.pipeline, yaml, pandas as pd, torchvision, torchaudio, ts, tqdm, pkg_resources
        def input_fn(body, content_type):
            return PIL.Image.open(body)
    """,
    "a flag that is checked before it is used": """
        def predict_fn(data, model):
            if "torch" in dir():
                return torch
            return model(data)
        import torch
    """,
    "names that exec makes": """
        exec("SCALE = 2")
        def predict_fn(data, model):
            return data * SCALE
    """,
}


@pytest.mark.parametrize("script", WORKING.values(), ids=WORKING)
def test_a_script_that_works_has_no_findings(folder, script):
    lines = script.strip("\n").splitlines()
    folder.write_section("\n".join(line[8:] for line in lines) + "\n")
    assert folder.check() == ()


def test_a_handler_that_raises_an_undefined_error_is_no_reason_to_refuse_it(folder):
    # Several public scripts do this where they refuse a content type: the request fails either way.
    folder.write_section("def output_fn(prediction, accept):\n    raise UnsupportedType(accept)\n")
    (finding,) = folder.check()
    assert (finding.code, finding.severity) == ("SM111", "warning")


def test_wheels_that_lie_in_code_are_requirements_like_others(folder):
    folder.write_section(LOAD)
    (folder.path / "wheels").mkdir()
    (folder.path / "wheels" / "mine-1.0-py3-none-any.whl").write_bytes(b"")
    wheel = "wheels/mine-1.0-py3-none-any.whl"
    folder.write_file("requirements.txt", f"/opt/ml/model/code/{wheel}\n/opt/ml/model/code/{wheel}[extra]\n./{wheel}\n")
    assert folder.check() == ()


def test_a_folder_of_modules_without_an_init_is_a_package(folder):
    folder.write_file("parts/nets.py", "SIZE = 1\n")
    folder.write_section("from parts.nets import SIZE\nimport parts.nets as nets\n")
    assert folder.check() == ()
