"""Saving tensors in ``torch.save``'s format, forwards and byte for byte the same every time, without copying them.

``torch.save`` itself marks each tensor with the device that it was on, so that weights trained on a GPU do not load on
a CPU instance, and adds records that differ between torch versions. Here every tensor is marked ``cpu`` and moved there
piece by piece while it is written. ``torch.load`` reads the file, with ``weights_only=True`` and ``mmap=True`` too: it
is a zip archive of stored records, ``data.pkl`` and one ``data/KEY`` per storage (``torch/serialization.py``,
``_save``).
"""

from __future__ import annotations

import ctypes
import io
import pickle
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any

import torch

from sm_magics.errors import UnsupportedModelError

from .records import Records

_CHUNK = 16 << 20  # bytes at a time; large enough to be hashed by all cores


def save(value: object, file: IO[bytes]) -> None:
    """Write the value into the file as ``torch.save`` would, on the CPU.

    Parameters
    ----------
    value
        A mapping of names to tensors, or any other picklable object that holds tensors.
    file
        Anything that has ``write``; it is written forwards only.

    Raises
    ------
    UnsupportedModelError
        If the value cannot be pickled.
    """
    for piece in records(value).pieces():
        file.write(piece)


def records(value: object) -> Records:
    """Return what ``torch.save`` would write of a value: its pickle, and the storages of its tensors.

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
    found = Records()
    _add(found, "data.pkl", pickled.getvalue())
    _add(found, "byteorder", sys.byteorder.encode())
    for key, storage in enumerate(pickler.storages):
        found.add(f"data/{key}", storage.nbytes(), partial(pieces, storage))
    _add(found, "version", b"3\n")
    return found


def _add(found: Records, name: str, data: bytes) -> None:
    found.add(name, len(data), lambda: [data])


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


def pieces(storage: torch.UntypedStorage) -> Iterator[memoryview]:
    """Yield the bytes of a storage; each piece is valid until the next is asked for.

    Memory of the CPU is not copied. From a GPU they come through two buffers of pinned memory, one of which is filled
    while the other is used.
    """
    size = storage.nbytes()
    if storage.device.type == "cpu":
        memory = _memory(storage.data_ptr(), size)
        for start in range(0, size, _CHUNK):
            yield memory[start : start + _CHUNK]
    elif storage.device.type == "cuda":
        buffers = [torch.empty(min(size, _CHUNK), dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        yield from staged(_flat(storage), buffers, _enqueued)
    else:
        yield from staged(_flat(storage), [torch.empty(min(size, _CHUNK), dtype=torch.uint8)])


def staged(
    source: torch.Tensor,
    buffers: Sequence[torch.Tensor],
    enqueued: Callable[[torch.Tensor], Callable[[], object]] | None = None,
) -> Iterator[memoryview]:
    """Yield the bytes of a flat tensor through buffers that are used in turn.

    Parameters
    ----------
    source
        ``uint8``, one dimension, on any device.
    buffers
        ``uint8``, on the CPU: all but one are filled ahead.
    enqueued
        Called after a copy was begun that may still run; returns what waits for it.
    """
    length = len(buffers[0])
    waiting: deque[tuple[memoryview, Callable[[], object]]] = deque()
    for number, start in enumerate(range(0, len(source), length)):
        part = source[start : start + length]
        buffer = buffers[number % len(buffers)][: len(part)]
        buffer.copy_(part, non_blocking=enqueued is not None)
        waiting.append((_memory(buffer.data_ptr(), len(part)), enqueued(source) if enqueued else _nothing))
        if len(waiting) == len(buffers):
            yield _arrived(*waiting.popleft())
    while waiting:
        yield _arrived(*waiting.popleft())


def _arrived(memory: memoryview, wait: Callable[[], object]) -> memoryview:
    wait()
    return memory


def _nothing() -> None:
    pass


def _enqueued(source: torch.Tensor) -> Callable[[], object]:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(source.device))
    return event.synchronize


def _flat(storage: torch.UntypedStorage) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _memory(address: int, size: int) -> memoryview:
    """Return memory without a copy and without needing NumPy."""
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B") if size else memoryview(b"")


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
    if hasattr(tensor, "full_tensor"):  # torch.distributed.tensor.DTensor
        raise UnsupportedModelError(
            f"{name!r} is a {type(tensor).__name__}: this process has only its part of it.",
            hint="{name: getattr(value, 'full_tensor', lambda: value)() for name, value in "
            f"{variable}.state_dict().items()}}",
        )
    if type(tensor) not in {torch.Tensor, torch.nn.Parameter}:
        kind = type(tensor)
        raise UnsupportedModelError(
            f"{name!r} is a {kind.__module__}.{kind.__qualname__}, not a plain tensor.",
            hint=f"%sm_package {variable} --save-as torchscript",
        )
