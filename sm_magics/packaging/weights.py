"""Saving tensors in ``torch.save``'s format, byte for byte the same every time, one tensor in memory at a time.

``torch.save`` itself marks each tensor with the device that it was on, so that weights trained on a GPU do not load on
a CPU instance, and adds records that differ between torch versions. Here every tensor is marked ``cpu`` and moved there
only while it is written. ``torch.load`` reads the file, with ``weights_only=True`` and ``mmap=True`` too: it is a zip
archive of stored records, ``data.pkl`` and one ``data/KEY`` per storage (``torch/serialization.py``, ``_save``).
"""

from __future__ import annotations

import ctypes
import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any

import torch

from sm_magics.errors import UnsupportedModelError

_ALIGNMENT = 64  # bytes; what torch aligns records to, so that they can be memory-mapped
_CHUNK = 4 << 20


def save(value: object, file: IO[bytes], report: Callable[[int], None] | None = None) -> None:
    """Write the value into the file as ``torch.save`` would, on the CPU.

    Parameters
    ----------
    value
        A mapping of names to tensors, or any other picklable object that holds tensors.
    file
        Opened for writing bytes, seekable.
    report
        Called with the number of bytes written since the last call.

    Raises
    ------
    UnsupportedModelError
        If the value cannot be pickled.
    """
    pickled = io.BytesIO()
    pickler = _Pickler(pickled)
    try:
        # Protocol 2 is the one that torch.load's weights-only unpickler reads.
        pickler.dump(value)
    except (pickle.PicklingError, TypeError, AttributeError, NotImplementedError) as error:
        raise UnsupportedModelError(
            f"The model cannot be pickled: {error}.", hint="%sm_package model --save-as state_dict"
        ) from error
    with zipfile.ZipFile(file, "w") as archive:
        _write_record(archive, "data.pkl", [pickled.getvalue()])
        _write_record(archive, "byteorder", [sys.byteorder.encode()])
        for key, storage in enumerate(pickler.storages):
            _write_storage(archive, f"data/{key}", storage, report)
        _write_record(archive, "version", [b"3\n"])


def total_bytes(value: object) -> int:
    """Return the bytes that the storages of a value's tensors hold."""
    pickler = _Pickler(io.BytesIO())
    pickler.dump(value)
    return sum(storage.nbytes() for storage in pickler.storages)


class _Pickler(pickle.Pickler):
    """Pickles tensors as references to their storages, which are written separately."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[torch.UntypedStorage] = []
        self._keys: dict[tuple[int, Any], str] = {}

    def persistent_id(self, value: Any) -> tuple[str, type, str, str, int] | None:
        if isinstance(value, torch.storage.TypedStorage):
            storage = value._untyped_storage  # noqa: SLF001 - the format's own terms, as in torch/serialization.py
            kind, length = getattr(torch, value._pickle_storage_type()), value._size()  # type: ignore[no-untyped-call]  # noqa: SLF001
        elif isinstance(value, torch.UntypedStorage):
            storage, kind, length = value, torch.UntypedStorage, value.nbytes()
        else:
            return None
        identity = (storage._cdata, kind)  # noqa: SLF001
        if identity not in self._keys:
            self._keys[identity] = str(len(self.storages))
            self.storages.append(storage)
        return ("storage", kind, self._keys[identity], "cpu", length)


def _write_storage(
    archive: zipfile.ZipFile, name: str, storage: torch.UntypedStorage, report: Callable[[int], None] | None
) -> None:
    on_cpu = storage if storage.device.type == "cpu" else storage.cpu()  # type: ignore[no-untyped-call]
    size = on_cpu.nbytes()
    # The storage's own memory, without a copy and without needing NumPy.
    memory = memoryview((ctypes.c_ubyte * size).from_address(on_cpu.data_ptr())) if size else memoryview(b"")
    with archive.open(_record(archive, name, size), "w") as record:
        for start in range(0, size, _CHUNK):
            piece = memory[start : start + _CHUNK]
            record.write(piece)
            if report:
                report(len(piece))


def _write_record(archive: zipfile.ZipFile, name: str, data: list[bytes]) -> None:
    with archive.open(_record(archive, name, sum(map(len, data))), "w") as record:
        for piece in data:
            record.write(piece)


def _record(archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    """Return the header of a record whose data begins at a multiple of the alignment."""
    record = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    record.file_size = size
    record.create_system = 3  # Unix, whichever system writes
    begins = archive.fp.tell() + 30 + len(record.filename)  # type: ignore[union-attr]
    if size * 1.05 > zipfile.ZIP64_LIMIT:
        begins += 20  # zipfile decides by the same rule to add its 64-bit sizes
    padding = -(begins + 4) % _ALIGNMENT
    record.extra = struct.pack("<HH", 0x4246, padding) + b"Z" * padding  # field "FB", torch's own
    return record


def canonical(state: Mapping[Any, Any]) -> OrderedDict[Any, Any]:
    """Return a state_dict whose pickle depends on its contents alone.

    Pickle writes a string a second time by reference if it is the same object; equal strings are made the same object
    here. Tensors lose what is no part of their value (gradients, hooks, attributes). Nothing is copied.

    Raises
    ------
    UnsupportedModelError
        If it holds something that ``torch.load(…, weights_only=True)`` would refuse, naming it.
    """
    result = OrderedDict((_canonical(name, ""), _canonical(value, str(name))) for name, value in state.items())
    metadata = getattr(state, "_metadata", None)  # versions of the modules' formats, read by load_state_dict
    if metadata is not None:
        result._metadata = _canonical(metadata, "_metadata")  # type: ignore[attr-defined]  # noqa: SLF001
    return result


def _canonical(value: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        check_tensor(value, name)
        return value.detach()
    if type(value) is str:
        return sys.intern(value)
    if isinstance(value, dict):
        items = ((_canonical(key, name), _canonical(item, f"{name}.{key}")) for key, item in value.items())
        return OrderedDict(items) if isinstance(value, OrderedDict) else dict(items)
    if type(value) in {list, tuple, set}:
        return type(value)(_canonical(item, f"{name}[{index}]") for index, item in enumerate(value))
    if value is None or type(value) in {bool, int, float, torch.Size, torch.dtype}:
        return value
    raise UnsupportedModelError(
        f"{name!r} in the state_dict is a {type(value).__name__}, which torch.load(weights_only=True) refuses.",
        hint="{name: value for name, value in state.items() if isinstance(value, torch.Tensor)}",
    )


def check_tensor(tensor: torch.Tensor, name: str, variable: str = "model") -> None:
    """Refuse a tensor that has no bytes to write, or whose class the container's torch may not know.

    `variable` is what the hint calls the model.

    Raises
    ------
    UnsupportedModelError
        For tensors on the meta device, uninitialised (lazy), quantised, sparse, or of a subclass.
    """
    if torch.nn.parameter.is_lazy(tensor):
        raise UnsupportedModelError(
            f"{name!r} has no shape yet: the model is lazy and has not been called.",
            hint=f"{variable}(x)    # with an input of its kind",
        )
    if tensor.device.type == "meta":
        raise UnsupportedModelError(
            f"{name!r} is on the meta device: it has a shape but no values to save.",
            hint=f'{variable}.to_empty(device="cpu")    # then give it its weights: {variable}.load_state_dict(...)',
        )
    if tensor.is_quantized:
        raise UnsupportedModelError(
            f"{name!r} is quantised ({tensor.dtype}), which does not survive a change of torch version.",
            hint=f"%sm_package {variable} --save-as torchscript",
        )
    if tensor.layout is not torch.strided:
        raise UnsupportedModelError(f"{name!r} is sparse ({tensor.layout}).", hint="tensor.to_dense()")
    if type(tensor) not in {torch.Tensor, torch.nn.Parameter}:
        kind = type(tensor)
        raise UnsupportedModelError(
            f"{name!r} is a {kind.__module__}.{kind.__qualname__}, not a plain tensor.",
            hint=f"%sm_package {variable} --save-as torchscript",
        )
