"""Models of many shapes, defined in notebooks, give the same answers out of their archives as in the notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

# TorchScript is deprecated in newer versions of torch, and what the container loads by default.

MODELS = {
    "a constructor without arguments": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)
    def forward(self, x):
        return self.b(torch.relu(self.a(x)))
model = Net(); x = torch.rand(3, 4)""",
    "arguments that are attributes": """
class Net(nn.Module):
    def __init__(self, hidden, depth=1, *, act=torch.tanh):
        super().__init__()
        self.hidden, self.depth, self.act = hidden, depth, act
        self.layers = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(depth)])
    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return x
model = Net(6, depth=3, act=torch.sigmoid); x = torch.rand(2, 6)""",
    "a configuration object": """
import dataclasses
@dataclasses.dataclass
class Config:
    width: int = 3
    names: tuple = ("a", "b")
class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, 1) for name in config.names})
    def forward(self, x):
        return {name: head(x) for name, head in self.heads.items()}
model = Net(Config(width=5)); x = torch.rand(2, 5)""",
    "arguments that are lost": """
class Block(nn.Module):
    def __init__(self, size, slope):
        super().__init__()
        self.linear, self.slope_ = nn.Linear(size, size), slope * 0.1
    def forward(self, x):
        return torch.nn.functional.leaky_relu(self.linear(x), self.slope_) + x
class Net(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(n, i) for i in range(m)])
        self.scale = nn.Parameter(torch.rand(n))
        self.extra = nn.ParameterList([torch.rand(n) for _ in range(2)])
        self.register_buffer("shift", torch.rand(n))
        self.register_buffer("nothing", None)
        self.first = self.blocks[0]
    def forward(self, x):
        return self.first(self.blocks(x) * self.scale + self.shift) + self.extra[0] - self.extra[1]
model = Net(4, 3); x = torch.rand(2, 4)""",
    "attributes set after construction": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.threshold, self.labels = nn.Linear(3, 3), 0.5, []
    def forward(self, x):
        return (self.linear(x) > self.threshold).float() * len(self.labels)
model = Net(); model.threshold = -0.25; model.labels = ["cat", "dog"]; x = torch.rand(5, 3)""",
    "nn.Sequential": """
from collections import OrderedDict
model = nn.Sequential(OrderedDict([
    ("conv", nn.Conv2d(1, 4, (3, 5), padding=(1, 2), bias=False)), ("norm", nn.BatchNorm2d(4)), ("act", nn.GELU()),
    ("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("out", nn.Linear(4, 3)), ("soft", nn.Softmax(dim=1)),
]))
x = torch.rand(2, 1, 8, 8)""",
    "one of torch's own": "model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)\n"
    "x = torch.rand(2, 5, 8)",
    "recurrent": """
class Net(nn.Module):
    def __init__(self, vocabulary=11):
        super().__init__()
        self.vocabulary = vocabulary
        self.embed = nn.Embedding(vocabulary, 6)
        self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(10, vocabulary)
    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0])
model = Net(13); x = torch.randint(0, 13, (2, 7))""",
    "shared weights": """
class Net(nn.Module):
    def __init__(self, n, d):
        super().__init__()
        self.embed, self.out = nn.Embedding(n, d), nn.Linear(d, n, bias=False)
        self.out.weight = self.embed.weight
        self.again = self.out
    def forward(self, x):
        assert self.out.weight is self.embed.weight and self.again is self.out
        return self.again(self.embed(x))
model = Net(9, 4); x = torch.randint(0, 9, (3,))""",
    "weights tied after construction": """
model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
model[2].weight = model[0].weight
x = torch.rand(2, 3)""",
    "batch normalisation that has seen data": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
    def forward(self, x):
        return self.norm(x)
model = Net()
for _ in range(5): model(torch.rand(8, 3) * 9)
x = torch.rand(2, 3)""",
    "buffers that are not persistent": """
class Net(nn.Module):
    def __init__(self, size=4):
        super().__init__()
        self.size = size
        self.linear = nn.Linear(size, size)
        self.register_buffer("mask", torch.tril(torch.ones(size, size)), persistent=False)
    def forward(self, x):
        return self.linear(x) @ self.mask
model = Net(5); model.mask *= 3; x = torch.rand(2, 5)""",
    "half precision": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x):
        return self.b(self.a(x.to(self.a.weight.dtype)).to(self.b.weight.dtype)).float()
model = Net(); model.a.to(torch.bfloat16); model.b.to(torch.float64); x = torch.rand(2, 4)""",
    "all of it in bfloat16": "model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).to(torch.bfloat16)\n"
    "x = torch.rand(2, 4, dtype=torch.bfloat16)",
    "a constructor that needs values": """
class Net(nn.Module):
    def __init__(self, rate=0.3, depth=3):
        super().__init__()
        self.rates = [r.item() for r in torch.linspace(0, rate, depth)]
        self.mean = torch.tensor([0.25, 0.5])
        self.linear = nn.Linear(2, 2)
    def forward(self, x):
        return self.linear(x - self.mean) * sum(self.rates)
model = Net(); x = torch.rand(2, 2)""",
    "weight normalisation": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
        self.spectral = nn.utils.spectral_norm(nn.Linear(4, 4))
    def forward(self, x):
        return self.spectral(self.linear(x))
model = Net(); model(torch.rand(1, 3)); x = torch.rand(2, 3)""",
    "nested classes and functions": """
import math
from functools import partial
SIZE = 6
def block(n, act=nn.ReLU): return nn.Sequential(nn.Linear(n, n), act())
class Attention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n, self.q, self.k = n, nn.Linear(n, n), nn.Linear(n, n)
    def forward(self, x):
        return torch.softmax(self.q(x) @ self.k(x).mT / math.sqrt(self.n), -1) @ x
class Net(nn.Module):
    Inner = Attention
    def __init__(self):
        super().__init__()
        make = partial(block, act=nn.Tanh)
        self.steps = nn.ModuleList([make(SIZE), self.Inner(SIZE), make(SIZE)])
    def forward(self, x):
        for step in self.steps: x = step(x)
        return x
model = Net(); x = torch.rand(1, 4, SIZE)""",
    "a base class and a mixin": """
class Base(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.n = n
        self.linear = nn.Linear(n, n)
class Doubled:
    def post(self, y): return y * 2
class Net(Doubled, Base):
    def forward(self, x): return self.post(self.linear(x))
model = Net(n=4); x = torch.rand(2, 4)""",
    "a wrapped backbone": """
class Wrapper(nn.Module):
    def __init__(self, backbone, out):
        super().__init__()
        self.backbone = backbone
        self.out = out
        self.head = nn.Linear(8, out)
    def forward(self, x): return self.head(self.backbone(x))
model = Wrapper(nn.Sequential(nn.Linear(4, 8), nn.SiLU()), 3); x = torch.rand(2, 4)""",
    "frozen layers and dropout": """
model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.9), nn.Linear(8, 2)).requires_grad_(False)
model.train(); x = torch.rand(4, 3)""",
    "an attribute of the device": """
class Net(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.device = device
        self.linear = nn.Linear(2, 2)
    def forward(self, x): return self.linear(x.to(self.device))
model = Net(torch.device("cpu")); x = torch.rand(1, 2)""",
    "torch.compile around it": "model = torch.compile(nn.Linear(2, 2)); x = torch.rand(1, 2)",
}


def answer(model: Any, x: torch.Tensor) -> Any:
    """What the notebook's model says in evaluation mode."""
    inner = getattr(model, "_orig_mod", model)
    modes = {module: module.training for module in inner.modules()}
    with torch.no_grad():
        result = inner.eval()(x)
    for module, mode in modes.items():
        module.training = mode
    return result


def same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return one.dtype == two.dtype and torch.equal(one, two)


@pytest.mark.parametrize("cell", MODELS.values(), ids=MODELS.keys())
def test_a_packaged_model_answers_as_in_the_notebook(notebook, fresh_process, cell: str):
    notebook.run(f"torch.manual_seed(1)\n{cell}")
    model, x = notebook["model"], notebook["x"]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mode = [module.training for module in model.modules()]

    package = notebook.package(model, name="net")

    assert same(fresh_process.predict(package.path, x), answer(model, x))
    assert [module.training for module in model.modules()] == mode
    assert same(dict(model.state_dict()), before)
    assert package.saved_as == "state_dict"
    assert package.digest == notebook.package(model, name="net").digest


@pytest.mark.parametrize("save_as", ["torchscript", "module"])
def test_other_ways_of_saving_answer_the_same(notebook, fresh_process, save_as: str):
    notebook.run("model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)); x = torch.rand(4, 3)")
    model, x = notebook["model"], notebook["x"]

    package = notebook.package(model, save_as=save_as)

    assert package.saved_as == save_as
    assert same(fresh_process.predict(package.path, x), answer(model, x))
    assert model.training


def test_torchscript_needs_no_code_of_ours(notebook, fresh_process):
    notebook.run("model = torch.jit.script(nn.Linear(2, 2)); x = torch.rand(1, 2)")

    package = notebook.package(notebook["model"])

    assert "model_fn" not in (notebook.directory / "code/inference.py").read_text()
    assert same(fresh_process.predict(package.path, notebook["x"]), notebook["model"](notebook["x"]))


def test_what_cannot_be_scripted_is_traced_with_the_sample(notebook, fresh_process):
    notebook.run(
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.linear = nn.Linear(2, 2)\n"
        "    def forward(self, x, **extra):\n        return self.linear(x)\n"
        "model = Net(); x = torch.rand(3, 2)"
    )

    package = notebook.package(notebook["model"], save_as="torchscript", sample=notebook["x"])

    assert any("traced" in note for note in package.notes)
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_the_generated_model_fn_gives_way_when_the_model_is_saved_otherwise(notebook, fresh_process):
    notebook.run("model = nn.Linear(2, 2); x = torch.rand(1, 2)")
    notebook.package(notebook["model"])

    package = notebook.package(notebook["model"], save_as="torchscript")

    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_a_class_beside_the_notebook_goes_with_it(notebook, fresh_process):
    (notebook.directory / "parts").mkdir()
    (notebook.directory / "parts/__init__.py").write_text("from .blocks import Block\n")
    (notebook.directory / "parts/blocks.py").write_text(
        "from torch import nn\nimport sizes\n"
        "class Block(nn.Linear):\n    def __init__(self): super().__init__(sizes.N, 2)\n"
    )
    (notebook.directory / "sizes.py").write_text("N = 3\n")
    notebook.run("from parts import Block\nmodel = nn.Sequential(Block(), nn.ReLU()); x = torch.rand(2, 3)")

    package = notebook.package(notebook["model"])

    names = [file.name for file in package.files]
    assert {"code/parts/__init__.py", "code/parts/blocks.py", "code/sizes.py"} <= set(names)
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_old_and_foreign_files_of_a_package_do_not_stand_in_the_way(notebook, fresh_process):
    parts = notebook.directory / "parts"
    parts.mkdir()
    (parts / "__init__.py").write_text("")
    (parts / "old.py").write_text("print 'from long ago'\n")
    (parts / "blocks.py").write_bytes(
        "# coding: latin-1\nfrom torch import nn\n"
        "class Block(nn.Linear):\n    label = 'Größe'\n    def forward(self, x): return x * len(self.label)\n".encode(
            "latin-1"
        )
    )
    notebook.run("from parts.blocks import Block\nmodel = nn.Sequential(Block(1, 1)); x = torch.rand(2, 3)")

    package = notebook.package(notebook["model"])

    assert any("old.py" in note for note in package.notes)
    assert "code/parts/old.py" not in {file.name for file in package.files}
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_a_model_keeps_the_class_that_it_was_made_of(notebook, fresh_process):
    notebook.run("class Net(nn.Linear):\n    def forward(self, x): return super().forward(x) + 1")
    notebook.run("model = Net(2, 2); x = torch.rand(1, 2)")
    notebook.run("class Net(nn.Linear):\n    def forward(self, x): return super().forward(x) + 2")

    package = notebook.package(notebook["model"])

    assert any("defined again" in note for note in package.notes)
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_a_training_method_may_use_what_stays_in_the_notebook(notebook, fresh_process):
    notebook.run(
        "loader = iter([])\n"
        "class Net(nn.Linear):\n    def fit(self):\n        for x in loader: self(x)\n"
        "model = Net(2, 2); x = torch.rand(1, 2)"
    )

    package = notebook.package(notebook["model"])

    assert any("loader" in note for note in package.notes)
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_the_users_own_model_fn_is_followed(notebook, fresh_process):
    from sm_magics.authoring import CodeFolder

    CodeFolder(notebook.directory).write_section(
        "import os, torch\nfrom pathlib import Path\n"
        "def model_fn(model_dir):\n    return torch.jit.load(str(Path(model_dir) / 'net.pt'), map_location='cpu')\n"
    )
    notebook.run("model = nn.Linear(2, 2); x = torch.rand(1, 2)")

    package = notebook.package(notebook["model"])

    assert package.saved_as == "torchscript"
    assert package.files[0].name == "net.pt"
    assert not (notebook.directory / "code/sm_model.py").exists()
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


@pytest.mark.parametrize("given", ["mapping", "path"])
def test_a_state_dict_goes_with_the_users_own_model_fn(notebook, fresh_process, given: str):
    from sm_magics.authoring import CodeFolder

    CodeFolder(notebook.directory).write_section(
        "import os, torch\nfrom torch import nn\ndef model_fn(model_dir):\n    model = nn.Linear(2, 2)\n"
        "    state = torch.load(os.path.join(model_dir, 'weights.pth'), map_location='cpu', weights_only=True)\n"
        "    model.load_state_dict(state)\n    return model.eval()\n"
    )
    notebook.run("model = nn.Linear(2, 2); x = torch.rand(1, 2)")
    state: Any = notebook["model"].state_dict()
    if given == "path":
        saved = notebook.directory / "elsewhere.pth"
        torch.save(state, saved)
        state = saved

    package = notebook.package(state)

    assert package.files[0].name == "weights.pth"
    assert same(fresh_process.predict(package.path, notebook["x"]), answer(notebook["model"], notebook["x"]))


def test_a_saved_torchscript_file_is_streamed_as_it_is(notebook, fresh_process, tmp_path: Path):
    notebook.run("x = torch.rand(1, 2)")
    script = torch.jit.script(torch.nn.Linear(2, 2))
    torch.jit.save(script, tmp_path / "saved.pt")

    package = notebook.package(tmp_path / "saved.pt")

    assert package.saved_as == "torchscript"
    assert package.files[0].size == (tmp_path / "saved.pt").stat().st_size
    assert not (notebook.directory / "model.pth").exists()
    assert same(fresh_process.predict(package.path, notebook["x"]), script(notebook["x"]))
