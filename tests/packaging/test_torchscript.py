"""TorchScript is saved in constant memory, whatever happens to the disk."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from sm_magics.errors import PackagingError, UnsupportedModelError
from sm_magics.packaging import package, torchscript

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")


@pytest.fixture
def script() -> torch.jit.ScriptModule:
    return torch.jit.script(nn.Linear(300, 300))


def traced() -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Linear(3, 3), (torch.ones(1, 3),), check_trace=False)


def scripted() -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Linear(3, 3))


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("make", [scripted, traced])
def test_the_bytes_are_those_that_torch_writes(tmp_path, monkeypatch, make, room):
    script = make()
    monkeypatch.setattr(torchscript, "has_room", lambda *_: room)
    torchscript.save_torchscript(script, tmp_path / ".model.pth.1234.partial")
    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    assert (tmp_path / ".model.pth.1234.partial").read_bytes() == buffer.getvalue()


def test_the_same_script_is_packed_once(tmp_path, script):
    first = package(script, model_dir=tmp_path, namespace={})
    inodes = [(tmp_path / name).stat().st_ino for name in ("model.pth", "model.tar.gz")]
    assert package(script, model_dir=tmp_path, namespace={}) == first
    assert [(tmp_path / name).stat().st_ino for name in ("model.pth", "model.tar.gz")] == inodes
    (tmp_path / "model.pth").unlink()
    assert package(script, model_dir=tmp_path, namespace={}) == first
    assert torch.jit.load(tmp_path / "model.pth").weight.shape == (300, 300)
    assert not list(tmp_path.glob(".*.partial"))


def test_a_disk_with_little_room_gets_it_from_memory(tmp_path, script, monkeypatch):
    assert torchscript.has_room(script, tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100 << 20))
    assert not torchscript.has_room(script, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk here that is always full")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_kernel(script, monkeypatch):
    monkeypatch.setattr(torchscript, "has_room", lambda *_: False)
    with pytest.raises(OSError, match="No space left"):
        torchscript.save_torchscript(script, Path("/dev/full"))


def test_what_torch_cannot_save_is_our_error(tmp_path, script, monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("Could not export Python function call 'apply'.\nmore")

    monkeypatch.setattr(torch.jit, "save", refuse)
    with pytest.raises(UnsupportedModelError, match="Could not export Python function") as caught:
        torchscript.save_torchscript(script, tmp_path / "model.pth")
    assert "state_dict" in caught.value.hint


def test_a_full_disk_leaves_what_was_there(tmp_path, script, monkeypatch):
    first = package(script, model_dir=tmp_path, namespace={})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with torch.no_grad():
        script.weight.add_(1)
    monkeypatch.setattr(torchscript, "save_torchscript", full)
    with pytest.raises(PackagingError, match="no space left"):
        package(script, model_dir=tmp_path, namespace={})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert first.is_unchanged()


MEMORY = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from pathlib import Path
from torch import nn
from sm_magics.packaging import torchscript
script = torch.jit.script(nn.Linear(8192, 4096))
torchscript.save_torchscript(torch.jit.script(nn.Linear(1, 1)), Path(sys.argv[1], "first"))
def peak():
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
before = peak()
torchscript.save_torchscript(script, Path(sys.argv[1], "second"))
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much memory a process has had")
def test_there_is_no_second_copy_in_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], check=True, capture_output=True, text=True)
    assert (tmp_path / "second").stat().st_size > 128 << 20
    assert int(done.stdout) < 64
