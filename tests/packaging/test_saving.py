"""What is written when a model is packaged again: nothing, the code, or all of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from sm_magics.errors import FileConflictError
from sm_magics.packaging import Package, package
from sm_magics.packaging.archive import read_contents
from sm_magics.packaging.tar import tail
from sm_magics.packaging.tar.tail import read_index

SCRIPT = """
import torch
from torch import nn

def model_fn(model_dir):
    net = nn.Linear(600, 600)
    net.load_state_dict(torch.load(f"{model_dir}/model.pth", weights_only=True))
    return net
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "LARGE", 1 << 20)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text(SCRIPT)
    return tmp_path


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Linear(600, 600)


def made(model: object, folder: Path) -> Package:
    return package(model, model_dir=folder, namespace={}, cells=[])


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        name: ((folder / name).stat().st_ino, (folder / name).stat().st_ctime_ns)
        for name in ("model.pth", "model.tar.gz")
    }


def test_nothing_is_written_again(folder, net):
    first, before = made(net, folder), state(folder)
    second = made(net, folder)
    assert second == first
    assert state(folder) == before


def through_data(net):
    net.weight.data.add_(1)


def through_numpy(net):
    net.weight.detach().numpy()[3, 4] = 7


def through_memory(net):
    memoryview(net.weight.detach().numpy()).cast("B")[-1] ^= 1


@pytest.mark.parametrize("change", [through_data, through_numpy, through_memory])
def test_weights_that_changed_behind_their_version_counter_are_written(folder, net, change):
    first = made(net, folder)
    version = net.weight._version
    change(net)
    assert net.weight._version == version

    second = made(net, folder)

    assert second.digest != first.digest
    saved = torch.load(folder / "model.pth", weights_only=True)
    assert saved["weight"].numpy().tobytes() == net.weight.detach().numpy().tobytes()
    assert read_contents(second.path).digest == second.digest


def test_a_change_of_code_leaves_the_weights_where_they_are(folder, net):
    first, before = made(net, folder), state(folder)
    length = read_index(first.path).length
    start = first.path.read_bytes()[:length]
    (folder / "code/inference.py").write_text(SCRIPT + "\n# changed\n")

    second = made(net, folder)

    assert second.digest != first.digest
    assert state(folder)["model.pth"] == before["model.pth"]
    assert second.path.read_bytes()[:length] == start
    assert second.path.stat().st_ino == before["model.tar.gz"][0]
    assert Package.open(second.path).digest == second.digest
    assert read_index(second.path).before == (first.digest,)


def test_the_same_weights_give_the_same_digest_whatever_was_there_before(folder, net, tmp_path):
    made(net, folder)
    (folder / "code/inference.py").write_text(SCRIPT + "\n# changed\n")
    renewed = made(net, folder)
    other = tmp_path / "other"
    shutil.copytree(folder / "code", other / "code")
    assert made(net, other).digest == renewed.digest


@pytest.mark.parametrize("name", ["model.pth", "model.tar.gz"])
def test_what_somebody_else_touched_is_not_trusted(folder, net, name):
    first = made(net, folder)
    os.utime(folder / name)
    again = made(net, folder)
    assert again.digest == first.digest == read_contents(again.path).digest
    (folder / name).unlink()
    assert made(net, folder).digest == first.digest
    assert (folder / name).is_file()


def test_what_somebody_else_changed_is_not_replaced(folder, net):
    made(net, folder)
    data = bytearray((folder / "model.tar.gz").read_bytes())
    data[1000] ^= 1
    (folder / "model.tar.gz").write_bytes(data)
    with pytest.raises(FileConflictError):
        made(net, folder)
    assert (folder / "model.tar.gz").read_bytes() == data


def test_a_model_file_that_is_there_is_packed_once(folder, net):
    torch.save(net.state_dict(), folder / "model.pth")
    first = made(str(folder / "model.pth"), folder)
    before = state(folder)
    assert made(str(folder / "model.pth"), folder) == first
    assert state(folder) == before
    torch.save({name: value + 1 for name, value in net.state_dict().items()}, folder / "model.pth")
    assert made(str(folder / "model.pth"), folder).digest != first.digest


def test_a_package_says_whether_its_archive_is_still_the_same(folder, net):
    first = made(net, folder)
    assert first.is_unchanged()
    os.utime(first.path)
    assert first.is_unchanged()
    (folder / "code/inference.py").write_text(SCRIPT + "\n# changed\n")
    assert made(net, folder).is_unchanged()
    assert not first.is_unchanged()
    first.path.unlink()
    assert not first.is_unchanged()


def test_an_interrupt_while_saving_leaves_both_files(folder, net, monkeypatch):
    first, before = made(net, folder), state(folder)
    net.weight.data.add_(1)

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "writev", interrupt)
    with pytest.raises(KeyboardInterrupt):
        made(net, folder)
    monkeypatch.undo()
    assert state(folder) == before
    assert read_contents(first.path).digest == first.digest
    assert not [path for path in folder.iterdir() if path.suffix == ".partial"]
