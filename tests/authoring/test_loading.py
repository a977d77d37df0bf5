from __future__ import annotations

import pytest

from sm_magics.authoring import LoadedBy, code_expectations

HEAD = "import os, torch\nfrom pathlib import Path\nNAME = 'weights.pt'\nclass Net: pass\n"


LOADS = {
    "return torch.jit.load(os.path.join(model_dir, 'model.pth'))": ("torchscript", "model.pth"),
    "return torch.jit.load(f'{model_dir}/model.pth')": ("torchscript", "model.pth"),
    "return torch.jit.load(model_dir + '/model.pth')": ("torchscript", "model.pth"),
    "return torch.jit.load(str(Path(model_dir) / 'nets' / NAME))": ("torchscript", "nets/weights.pt"),
    "return torch.jit.load('/opt/ml/model/model.pt')": ("torchscript", "model.pt"),
    "return torch.jit.load('model.pt')": ("torchscript", "model.pt"),
    "return torch.jit.load('/elsewhere/model.pt')": ("torchscript", None),
    "return torch.jit.load(next(Path(model_dir).glob('*.pt')))": ("torchscript", None),
    "return torch.jit.load(os.path.join(model_dir, '..', 'x.pt'))": ("torchscript", None),
    "return torch.load(f=os.path.join(model_dir, NAME), map_location='cpu')": ("module", "weights.pt"),
    "return read(model_dir, 'a.pt')": ("module", "a.pt"),
    "m.load_state_dict(torch.load(Path(model_dir, 'a.pt'))); return m": ("state_dict", "a.pt"),
    "p = os.path.join(model_dir, 'a.pt'); s = torch.load(p); m.load_state_dict(s)": ("state_dict", "a.pt"),
    "with open(f'{model_dir}/a.pt', 'rb') as f: m.load_state_dict(torch.load(f))": ("state_dict", "a.pt"),
    "m.load_state_dict(read(model_dir, name='a.pt')); return m": ("state_dict", "a.pt"),
    "c = torch.load(Path(model_dir) / 'c.pt'); m.load_state_dict(c['model'])": ("unknown", "c.pt"),
    "return Net.from_pretrained(model_dir)": ("unknown", None),
}


@pytest.mark.parametrize(("body", "expected"), LOADS.items())
def test_what_model_fn_loads_is_read_off_its_source(body, expected):
    helper = "def read(folder, name):\n    return torch.load(os.path.join(folder, name))\n"
    found = code_expectations(f"{HEAD}{helper}def model_fn(model_dir, context=None):\n    m = Net()\n    {body}\n")
    assert found == LoadedBy(*expected)


def test_no_model_fn_means_no_expectation():
    assert code_expectations("def predict_fn(data, model): return data\n") is None
    assert code_expectations("def broken(:\n") is None


def test_torch_imported_inside_the_function_is_seen():
    source = "def model_fn(d):\n    from torch import jit\n    return jit.load(d + '/m.pt')\n"
    assert code_expectations(source) == LoadedBy("torchscript", "m.pt")


def test_functions_that_call_each_other_do_not_go_on_for_ever():
    around = "def a(d): return b(d)\ndef b(d): return a(d)\n"
    source = f"import torch\n{around}def model_fn(d):\n    p = d\n    d = p\n    return a(d)\n"
    assert code_expectations(source) == LoadedBy("unknown", None)
