from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sm_magics.errors import UnsupportedModelError
from sm_magics.packaging import weights
from sm_magics.packaging.saved import Saved, recognise

DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.complex64,
    torch.bool,
    torch.uint8,
    torch.int64,
    torch.float8_e4m3fn,
]


def tensor(shape: list[int], dtype: torch.dtype, seed: int, view: str) -> torch.Tensor:
    bits = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if view == "transposed" and bits.ndim > 1:
        return bits.transpose(0, 1)
    return bits[1:] if view == "sliced" and bits.ndim else bits


TENSORS = st.builds(
    tensor,
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
    st.sampled_from(["whole", "transposed", "sliced"]),
)
STATES = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.one_of(TENSORS, st.integers(), st.floats(allow_nan=False), st.text(), st.lists(TENSORS, max_size=2)),
    max_size=6,
)


def saved(value: object, path: Path) -> bytes:
    with path.open("wb") as file:
        weights.save(value, file)
    return path.read_bytes()


def same(one: object, two: object) -> bool:
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor)
        assert one.dtype == two.dtype
        assert one.shape == two.shape
        return one.tolist() == two.tolist()
    if isinstance(one, list):
        return all(same(*pair) for pair in zip(one, two, strict=True))
    return one == two


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=STATES)
def test_torch_loads_what_was_saved_and_the_same_state_gives_the_same_bytes(tmp_path, state):
    path = tmp_path / "model.pth"
    data = saved(weights.canonical(state), path)

    for options in ({}, {"mmap": True}):
        loaded = torch.load(path, map_location="cpu", weights_only=True, **options)
        assert list(loaded) == list(state)
        assert all(same(state[name], loaded[name]) for name in state)
    again = {"".join(list(name)): value for name, value in state.items()}
    assert saved(weights.canonical(again), path) == data


def test_shared_tensors_are_saved_once_and_stay_shared(tmp_path):
    weight = torch.rand(1000, 100)
    data = saved(weights.canonical({"a": weight, "b": weight, "row": weight[3]}), tmp_path / "model.pth")

    loaded = torch.load(tmp_path / "model.pth", weights_only=True)

    assert len(data) < 1.1 * weight.nbytes
    assert len({tensor.untyped_storage().data_ptr() for tensor in loaded.values()}) == 1


def test_the_versions_of_the_modules_formats_are_kept(tmp_path):
    state = nn.BatchNorm1d(2).state_dict()
    saved(weights.canonical(state), tmp_path / "model.pth")
    assert torch.load(tmp_path / "model.pth", weights_only=True)._metadata == state._metadata


def test_records_begin_where_memory_mapping_wants_them(tmp_path):
    saved(weights.canonical(nn.LSTM(3, 5).state_dict()), tmp_path / "model.pth")
    reader = torch._C.PyTorchFileReader(str(tmp_path / "model.pth"))
    assert {reader.get_record_offset(f"data/{key}") % 64 for key in range(4)} == {0}


def test_nothing_is_changed_or_copied():
    parameter = nn.Parameter(torch.rand(3))
    parameter.grad = torch.ones(3)
    parameter.note = "mine"
    state = weights.canonical(OrderedDict(w=parameter))
    assert state["w"].data_ptr() == parameter.data_ptr()
    assert not hasattr(state["w"], "note")
    assert parameter.requires_grad
    assert parameter.grad.tolist() == [1, 1, 1]


def test_what_cannot_be_pickled_is_our_own_error():
    module = nn.Linear(1, 1)
    module.act = lambda x: x
    with pytest.raises(UnsupportedModelError, match="cannot be pickled"):
        weights.save(module, io.BytesIO())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_weights_on_a_gpu_are_saved_for_the_cpu(tmp_path):
    state = nn.Linear(3, 3).state_dict()
    there = {name: tensor.cuda() for name, tensor in state.items()}
    assert saved(weights.canonical(there), tmp_path / "a") == saved(weights.canonical(dict(state)), tmp_path / "b")
    assert torch.load(tmp_path / "a", weights_only=True)["weight"].device.type == "cpu"


# What a file holds


class Tripwire:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


MODULE = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
OLD = {"_use_new_zipfile_serialization": False}


@pytest.mark.parametrize(
    ("value", "options", "kind"),
    [
        (MODULE.state_dict(), {}, "state_dict"),
        (MODULE.state_dict(), OLD, "state_dict"),
        (MODULE.state_dict(), {"pickle_protocol": 5}, "state_dict"),
        (MODULE.half().state_dict(), {}, "state_dict"),
        ({"model": MODULE.state_dict(), "epoch": 3, "rates": [0.1]}, {}, "state_dict"),
        (dict(MODULE.named_parameters()), {}, "state_dict"),
        (MODULE, {}, "module"),
        (MODULE, OLD, "module"),
        (MODULE, {"pickle_protocol": 4}, "module"),
        ({"model": MODULE}, {}, "module"),
    ],
)
def test_the_kind_of_a_saved_file(tmp_path, value, options, kind):
    torch.save(value, tmp_path / "model.pth", **options)
    found = recognise(tmp_path / "model.pth")
    assert found.kind == kind
    assert bool(found.imports) == (kind == "module")


def test_our_own_files_are_recognised(tmp_path):
    saved(weights.canonical(MODULE.state_dict()), tmp_path / "model.pth")
    assert recognise(tmp_path / "model.pth") == Saved("state_dict")


def test_torchscript_is_recognised(tmp_path):
    torch.jit.save(torch.jit.script(MODULE), tmp_path / "model.pt")
    assert recognise(tmp_path / "model.pt") == Saved("torchscript")


@pytest.mark.parametrize("options", [{}, OLD])
def test_a_file_is_never_unpickled(tmp_path, options):
    torch.save({"w": Tripwire()}, tmp_path / "model.pth", **options)
    found = recognise(tmp_path / "model.pth")
    assert found.kind == "module"
    assert found.imports == ("__builtin__.exec",)


def test_an_exported_program_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), tmp_path / "model.pt2")
    with pytest.raises(UnsupportedModelError, match=r"torch\.export"):
        recognise(tmp_path / "model.pt2")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 1800), start=st.sampled_from([b"", b"\x80", b"\x80\x02", b"PK\x03\x04"]), old=st.booleans())
def test_damaged_files_are_our_own_error(tmp_path, cut, start, old):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "model.pth", _use_new_zipfile_serialization=not old)
    data = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(start + data[: min(cut, len(data) - 700)])
    with contextlib.suppress(UnsupportedModelError):
        recognise(tmp_path / "model.pth")


# Where tensors lie, and of which kind they are


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_bytes_come_through_buffers_in_order(size, count):
    """As from a GPU, but for the GPU: each buffer is filled ahead, and used once its copy has arrived."""
    source = torch.randint(0, 256, (size,), dtype=torch.uint8)
    buffers = [torch.zeros(64, dtype=torch.uint8) for _ in range(count)]
    waited = []

    def enqueued(tensor: torch.Tensor) -> object:
        number = len(waited)
        waited.append(False)
        return lambda: waited.__setitem__(number, True)

    found = bytearray()
    for number, piece in enumerate(weights.staged(source, buffers, enqueued)):
        assert waited[number]
        found += piece

    assert bytes(found) == bytes(source.tolist())
    assert all(waited)


def test_a_storage_is_read_without_a_copy():
    tensor = torch.arange(10, dtype=torch.uint8)
    piece = next(weights.pieces(tensor.untyped_storage()))
    tensor[3] = 77
    assert piece[3] == 77


class Sharded(torch.Tensor):
    """What torch.distributed.tensor.DTensor looks like from outside."""

    def full_tensor(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (quantised, "quantised"),
        (lambda: torch.rand(3).as_subclass(Sharded), "only its part"),
        (lambda: torch.rand(3, device="meta"), "meta device"),
    ],
)
def test_tensors_that_cannot_be_saved_as_they_are_are_refused_with_a_reason(make, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = make()
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        weights.canonical({"w": value})
    assert caught.value.hint


def test_conjugated_and_negated_views_keep_their_values(tmp_path):
    value = torch.complex(torch.rand(3), torch.rand(3))
    state = {"conjugate": value.conj(), "negative": value.conj().imag}
    saved(weights.canonical(state), tmp_path / "model.pth")
    loaded = torch.load(tmp_path / "model.pth", weights_only=True)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_the_size_is_known_beforehand(tmp_path):
    records = weights.records(weights.canonical(nn.LSTM(30, 50).state_dict()))
    assert records.size == len(saved(weights.canonical(nn.LSTM(30, 50).state_dict()), tmp_path / "model.pth"))
    stream = records.open()
    assert len(b"".join(iter(lambda: stream.read(1000), b""))) == records.size


def test_unzip_reads_what_was_saved(tmp_path):
    saved(weights.canonical(nn.LSTM(30, 50).state_dict()), tmp_path / "model.pth")
    with zipfile.ZipFile(tmp_path / "model.pth") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "archive/data.pkl"
