"""Real models with handlers of their own, packaged from a notebook and answered for by the model server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_magics.authoring import CodeFolder, write_notebook_names
from sm_magics.packaging.objects import NotebookValues
from sm_magics.serving.client import ParentClient, ask
from sm_magics.serving.messages import Assignment, Request

OWNER = """
import asyncio, sys
from pathlib import Path
from sm_magics.serving.parent import WarmParent
async def own():
    parent = await WarmParent.start(sys.executable, Path(sys.argv[1]))
    print(parent.address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await parent.close()
asyncio.run(own())
"""
JSON_OUT = '    return json.dumps(prediction.tolist() if hasattr(prediction, "tolist") else prediction)\n'


class Endpoint:
    """Workers forked from a warm parent process."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def answer(self, archive: Path, request: object, directory: Path) -> object:
        """Extract an archive elsewhere, and return what a worker answers to a request in JSON."""
        model_dir = directory / "served"
        shutil.rmtree(model_dir, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(model_dir, filter="data")
        log_file = directory / "worker.log"
        assignment = Assignment(str(model_dir), {}, allow_pickle=False, max_response=1 << 20)
        headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
        with (
            log_file.open("w+") as log,
            ParentClient(self._address, timeout=120) as client,
            client.fork(assignment, log=log.fileno()) as worker,
        ):
            answer = ask(worker, Request("POST", "/invocations", headers, json.dumps(request).encode()))
            assert answer.status == 200, answer.body
        return json.loads(answer.body)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    directory = tempfile.mkdtemp(prefix="sm", dir="/tmp")  # Unix sockets need short paths
    environ = {**os.environ, "SM_MAGICS_HOME": directory}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
        cwd="/",
    ) as owner:
        assert owner.stdin
        assert owner.stdout
        yield Endpoint(Path(owner.stdout.readline().strip()))
        owner.stdin.close()
        assert owner.wait(60) == 0
    shutil.rmtree(directory)


def handlers(notebook, cell: str, *, names: bool = False) -> CodeFolder:
    """Run a cell of handlers in the notebook, and write it for the endpoint."""
    notebook.run(cell)
    folder = CodeFolder(notebook.directory)
    folder.write_section(cell, name="handlers")
    if names:
        cells = list(notebook.shell.history_manager.input_hist_parsed)
        values = NotebookValues(notebook.shell.user_ns)
        write_notebook_names(folder, cells=cells, namespace=notebook.shell.user_ns, values=values)
    return folder


def here(notebook, request: object) -> object:
    """Return what the notebook's own handlers answer with the live model."""
    notebook.shell.user_ns["request"] = json.dumps(request)
    notebook.run(
        "with torch.no_grad():\n"
        "    data = input_fn(request, 'application/json')\n"
        "    predict = globals().get('predict_fn', lambda data, model: model(data))\n"
        "    answered = output_fn(predict(data, model.eval()), 'application/json')"
    )
    return json.loads(notebook["answered"])


def test_a_residual_network_in_cells(notebook, endpoint, tmp_path):
    notebook.run("import json\nimport torch.nn.functional as F\ntorch.manual_seed(3)")
    notebook.run("LABELS = ['cat', 'dog', 'owl']\nMEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.rand(3) + 1")
    notebook.run("""
def conv3x3(i, o, stride=1):
    \"\"\"3x3 convolution with padding\"\"\"
    return nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=False)

class BasicBlock(nn.Module):
    expansion = 1
    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inplanes, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.downsample = downsample
    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + identity)
""")
    notebook.run("""
class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=10):
        super().__init__()
        self.inplanes = 8
        self.stem = nn.Sequential(conv3x3(3, 8), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.layer1 = self._make_layer(block, 8, layers[0])
        self.layer2 = self._make_layer(block, 16, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(nn.Conv2d(self.inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)
    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(self.avgpool(x).flatten(1))
model = ResNet(BasicBlock, [2, 2], num_classes=len(LABELS))
for _ in range(3): model(torch.rand(4, 3, 16, 16))
""")
    handlers(
        notebook,
        "import json\n\nimport torch\n\n\ndef input_fn(body, content_type):\n"
        "    return (torch.tensor(json.loads(body)) - MEAN[:, None, None]) / STD[:, None, None]\n\n\n"
        "def output_fn(prediction, accept):\n"
        "    return json.dumps([{'label': LABELS[int(row.argmax())], 'scores': row.tolist()} for row in prediction])\n",
        names=True,
    )
    package = notebook.package(notebook["model"])
    request = notebook["torch"].rand(2, 3, 16, 16).tolist()
    assert endpoint.answer(package.path, request, tmp_path) == here(notebook, request)
    script = (notebook.directory / "code/inference.py").read_text()
    assert "LABELS = ['cat', 'dog', 'owl']\n" in script


def test_a_transformer_of_torch(notebook, endpoint, tmp_path):
    notebook.run("import math\nimport json\nfrom dataclasses import dataclass\ntorch.manual_seed(4)")
    notebook.run("""
@dataclass
class Config:
    vocab: int = 50
    dim: int = 16
    heads: int = 4
    depth: int = 2
    length: int = 32

class Positions(nn.Module):
    def __init__(self, dim, length):
        super().__init__()
        position, scale = torch.arange(length)[:, None], torch.exp(torch.arange(0, dim, 2) * (-math.log(1e4) / dim))
        table = torch.zeros(length, dim)
        table[:, 0::2], table[:, 1::2] = torch.sin(position * scale), torch.cos(position * scale)
        self.register_buffer("table", table, persistent=False)
    def forward(self, x):
        return x + self.table[: x.shape[1]]

class Transformer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.positions = Positions(config.dim, config.length)
        layer = nn.TransformerEncoderLayer(config.dim, config.heads, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)
        self.head = nn.Linear(config.dim, config.vocab, bias=False)
        self.head.weight = self.embed.weight
    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        x = self.positions(self.embed(tokens) * math.sqrt(self.config.dim))
        return self.head(self.encoder(x, mask=mask, is_causal=True))
model = Transformer(Config(depth=3))
""")
    handlers(
        notebook,
        "import json\n\nimport torch\n\n\ndef input_fn(body, content_type):\n"
        "    return torch.tensor(json.loads(body))\n"
        f"\n\ndef output_fn(prediction, accept):\n{JSON_OUT}",
    )
    package = notebook.package(notebook["model"])
    request = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
    assert endpoint.answer(package.path, request, tmp_path) == here(notebook, request)


def test_a_tabular_network_with_a_scaler_of_scikit_learn(notebook, endpoint, tmp_path):
    pytest.importorskip("sklearn")
    notebook.run("""
import json
import numpy as np
from sklearn.preprocessing import StandardScaler
torch.manual_seed(5)
frame = np.random.RandomState(0).normal(3, 9, (200, 4))
scaler = StandardScaler().fit(frame)
class MLP(nn.Module):
    def __init__(self, sizes, p=0.1):
        super().__init__()
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(p)]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(sizes[-1], 1)
    def forward(self, x):
        return self.head(self.body(x)).squeeze(-1)
model = MLP([4, 16, 8])
""")
    handlers(
        notebook,
        "import json\n\nimport numpy as np\nimport torch\n\n\ndef input_fn(body, content_type):\n"
        "    rows = scaler.transform(np.array(json.loads(body)))\n    return torch.from_numpy(rows).float()\n"
        f"\n\ndef output_fn(prediction, accept):\n{JSON_OUT}",
    )
    package = notebook.package(notebook["model"], objects=["scaler"])
    request = [[1.0, 2.0, 3.0, 4.0], [9.0, 8.0, 7.0, 6.0]]
    assert endpoint.answer(package.path, request, tmp_path) == here(notebook, request)
    assert {"code/sm_objects/__init__.py", "code/sm_objects/scaler.joblib"} <= {file.name for file in package.files}
    assert any("scaler travels as a pickle of StandardScaler" in note for note in package.notes)
    # The next package takes it along without being told.
    again = notebook.package(notebook["model"])
    assert again.digest == package.digest


def test_a_character_lstm_with_its_vocabulary(notebook, endpoint, tmp_path):
    notebook.run("import json\ntorch.manual_seed(6)\ntext = 'the quick brown fox jumps over the lazy dog. ' * 50")
    notebook.run("chars = sorted(set(text))\nstoi = {c: i for i, c in enumerate(chars)}\nitos = dict(enumerate(chars))")
    notebook.run("""
def encode(s):
    # unknown characters are left out
    return torch.tensor([[stoi[c] for c in s if c in stoi]])

def decode(ids):
    return "".join(itos[int(i)] for i in ids)

class CharLSTM(nn.Module):
    def __init__(self, vocab=len(chars), hidden=24):
        super().__init__()
        self.embed = nn.Embedding(vocab, hidden)
        self.lstm = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True)
        self.out = nn.Linear(hidden, vocab)
    def forward(self, x, state=None):
        y, state = self.lstm(self.embed(x), state)
        return self.out(y), state
    @torch.no_grad()
    def generate(self, prompt, n):
        out, state, x = [], None, prompt
        for _ in range(n):
            logits, state = self(x, state)
            x = logits[:, -1:].argmax(-1)
            out.append(int(x))
        return out
model = CharLSTM()
""")
    handlers(
        notebook,
        "import json\n\n\ndef input_fn(body, content_type):\n    return encode(json.loads(body)['prompt'])\n\n\n"
        "def predict_fn(data, model):\n    return decode(model.generate(data, 12))\n\n\n"
        "def output_fn(prediction, accept):\n    return json.dumps(prediction)\n",
        names=True,
    )
    package = notebook.package(notebook["model"])
    request = {"prompt": "the quick"}
    assert endpoint.answer(package.path, request, tmp_path) == here(notebook, request)
    script = (notebook.directory / "code/inference.py").read_text()
    assert "# unknown characters are left out" in script
