"""Notebooks as people write them: packaged, loaded in another process and directory, they answer as they did here.

Or they are refused, with the name of what stands in the way. What they must never do is to answer differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from sm_magics.errors import SmMagicsError

CORPUS = Path(__file__).parent / "corpus"


@dataclass
class Case:
    """One notebook: its cells, files beside it, and what is to come of it."""

    cells: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)


def cases() -> dict[str, Case]:
    """Read the corpus: ``=== title``, then ``refused: WORDS`` or nothing, then ``--- file PATH`` and ``--- cell``."""
    found: dict[str, Case] = {}
    for path in sorted(CORPUS.glob("*.txt")):
        for text in path.read_text().split("\n=== ")[1:]:
            head, *parts = ("\n" + text).split("\n--- ")
            title, *wanted = head.strip().splitlines()
            case = Case(wanted=dict(line.split(": ", 1) for line in wanted))
            for part in parts:
                kind, _, body = part.partition("\n")
                if kind.strip() == "cell":
                    case.cells.append(body)
                else:
                    case.files[kind.removeprefix("file ").strip()] = body
            found[f"{path.stem}: {title}"] = case
    return found


CASES = cases()


def answer(model: Any, inputs: tuple[Any, ...]) -> Any:
    """Return what the notebook's model says at the endpoint: a model in training mode is put into evaluation mode."""
    if isinstance(model, torch.nn.DataParallel):
        model = model.module
    inner = getattr(model, "_orig_mod", model)
    if inner.training:
        inner.eval()
    torch.manual_seed(5)
    with torch.no_grad():
        return inner(*inputs)


def alike(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(alike(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(alike, one, two))
    return one.dtype == two.dtype and torch.equal(one, two)


@pytest.mark.filterwarnings("ignore:.*(quantization|deprecated).*")
@pytest.mark.parametrize("title", CASES)
def test_a_notebook_answers_the_same_out_of_its_package_or_is_refused(notebook, fresh_process, monkeypatch, title):
    case = CASES[title]
    for owner, name in ((torch.nn.GELU, "forward"), (torch.nn.functional, "relu")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back what a notebook replaces
    for relative, text in case.files.items():
        path = notebook.directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    notebook.run("torch.manual_seed(1)")
    for cell in case.cells:
        notebook.run(cell)
    model, x = notebook["model"], notebook["x"]
    if "refused" in case.wanted:
        with pytest.raises(SmMagicsError, match=case.wanted["refused"]) as caught:
            notebook.package(model)
        assert caught.value.hint
        return
    package = notebook.package(model)
    inputs = x if isinstance(x, tuple) else (x,)
    assert alike(fresh_process.predict(package.path, *inputs), answer(model, inputs))
    if "digest" not in case.wanted:
        assert package.digest == notebook.package(model).digest
