"""What the handlers of a package answer in this process with the live model in place of the one that they load.

The notebook's own state stays as it is: the model is a copy that shares the parameters' memory (modes, buffers and
devices are its own), modules of the package are imported beside those that the notebook has imported, and what
handlers may change of the process is put back.
"""

from __future__ import annotations

import copy
import logging
import os
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from sm_magics.serving.context import provide_torchserve
from sm_magics.serving.messages import Answer, Headers

_SCRIPT = "inference"
_MOST = 1 << 30  # bytes of an answer: there is no server in between


class NoReference(Exception):  # noqa: N818 - what happened
    """The live model cannot stand in for the one that the handlers load. The message says why, as a sentence."""


def answers(
    directory: Path, model: Any, headers: Headers, body: bytes, *, environ: Mapping[str, str], times: int
) -> list[Answer]:
    """Return what the handlers answer with a live model, asked several times.

    Parameters
    ----------
    directory
        The extracted model directory, which is imported from.
    model
        The live model. It is not changed.
    headers, body
        The request.
    environ
        The container's environment.
    times
        How often they are asked.

    Raises
    ------
    NoReference
        If the handlers do not work with it.
    """
    with _as_it_was(), _imported_from(directory):
        os.chdir(directory)  # as in the container
        os.environ.update(environ)
        provide_torchserve()
        failed = ""
        for stand_in in (_put_in_place, _put_inside):
            for candidate in _copies(model):
                try:
                    got = _ask(directory, candidate, stand_in, headers, body, times=times)
                except NoReference:
                    raise
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the handlers may raise anything
                    failed = failed or f"{type(error).__name__}: {error}"
                    continue
                if all(one.status == 200 for one in got):  # noqa: PLR2004 - HTTP's OK
                    return got
                failed = failed or got[0].reason
        raise NoReference(f"The handlers do not work with the live model: {failed}")


def _ask(directory: Path, model: Any, stand_in: Any, headers: Headers, body: bytes, *, times: int) -> list[Answer]:
    from sm_magics.serving.model import Model

    script = _script(directory)
    script.model_fn = stand_in(script, model)  # type: ignore[attr-defined]
    server = Model(directory, allow_pickle=False, max_response=_MOST)
    server.load()
    return [server.answer("/invocations", headers, bytearray(body)) for _ in range(times)]


def _script(directory: Path) -> ModuleType:
    """Return the package's script, imported; where there is none, an empty module in its place."""
    sys.modules.pop(_SCRIPT, None)
    spec = PathFinder.find_spec(_SCRIPT, [str(directory / "code"), str(directory)]) or ModuleSpec(_SCRIPT, None)
    module = module_from_spec(spec)
    sys.modules[_SCRIPT] = module
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return module


def _put_in_place(_script: ModuleType, model: Any) -> Any:
    return lambda model_dir: model  # noqa: ARG005 - as the toolkit calls it


def _put_inside(script: ModuleType, model: Any) -> Any:
    """Return a model_fn that puts the live model into what the package's own one returns, such as a dictionary.

    That one may also set what the other handlers need.
    """
    original = getattr(script, "model_fn", None)
    if original is None:
        raise NoReference("There is nothing that loads the model.")

    def model_fn(model_dir: str, context: Any) -> Any:
        loaded = original(model_dir) if original.__code__.co_argcount == 1 else original(model_dir, context)
        replaced, count = _replaced(loaded, model)
        if count != 1:
            raise NoReference(
                f"model_fn returns a {type(loaded).__name__}, in which the live model has no place of its own."
            )
        return replaced

    return model_fn


def _replaced(loaded: Any, model: Any) -> tuple[Any, int]:
    if isinstance(loaded, torch.nn.Module):
        return model, 1
    if isinstance(loaded, dict):
        parts = {key: _replaced(value, model) for key, value in loaded.items()}
        return {key: part for key, (part, _) in parts.items()}, sum(count for _, count in parts.values())
    if type(loaded) in {list, tuple}:
        pairs = [_replaced(value, model) for value in loaded]
        return type(loaded)(part for part, _ in pairs), sum(count for _, count in pairs)
    return loaded, 0


def _copies(model: Any) -> Iterator[Any]:
    """Yield copies of a model to try: where it is, then on the CPU if that is elsewhere."""
    yield _copy(model)
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        yield _copy(model).to("cpu")


def _copy(model: Any) -> Any:
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        if type(parameter) is torch.nn.Parameter:
            memo[id(parameter)] = torch.nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad)
    for module in model.modules():
        memo |= {id(tensor): tensor.detach() for tensor in _computed(vars(module), set())}
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise NoReference(f"The live model cannot be copied: {type(error).__name__}: {error}") from error


def _computed(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield the tensors that have a gradient's graph, which refuse to be copied: losses that were kept, for one."""
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, dict | list | tuple) and id(value) not in seen:
        seen.add(id(value))
        for part in value.values() if isinstance(value, dict) else value:
            yield from _computed(part, seen)


@contextmanager
def _imported_from(directory: Path) -> Iterator[None]:
    """Import modules of the package while the block runs, and forget them again."""
    code = directory / "code"
    names = {path.stem if path.suffix == ".py" else path.name for path in (*code.glob("*"), *directory.glob("*.py"))}
    names |= {_SCRIPT, "ts"}
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    for name in hidden:
        del sys.modules[name]
    sys.path[:0] = [str(code), str(directory)]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(hidden)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Put back, after the block, what handlers and the toolkit may change of this process."""
    from sm_magics.serving.toolkit import unchanged

    working, environ, argv = Path.cwd(), dict(os.environ), list(sys.argv)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    dice, more_dice = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that handlers share
    grad, quiet = torch.is_grad_enabled(), logging.root.manager.disable
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with ExitStack() as stack:
        stack.enter_context(unchanged())
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        stack.enter_context(torch.random.fork_rng(devices))
        logging.disable(logging.CRITICAL)  # the toolkit logs what an answer says already
        os.environ.pop("SAGEMAKER_PROGRAM", None)
        try:
            yield
        finally:
            logging.disable(quiet)
            os.chdir(working)
            os.environ.clear()
            os.environ.update(environ)
            sys.argv[:] = argv
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
            random.setstate(dice)
            np.random.set_state(more_dice)  # noqa: NPY002
