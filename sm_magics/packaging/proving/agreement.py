"""Whether a package answers as it should: as the notebook does with the live model, or as is expected."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sm_magics.errors import PayloadError
from sm_magics.packaging.report import FAILED, PASSED, SKIPPED, WARNING, Failure, Step
from sm_magics.payload import CSV, decode
from sm_magics.serving.messages import Answer, Headers

from .comparing import Difference, differences, numbers

_SHOWN = 4
_LIVE = "gives the same answer as the notebook"
_EXPECTED = "gives the answer that is expected"


def decoded(answer: Answer) -> Any:
    """Return an answer as a value; a CSV answer of numbers as numbers.

    Raises
    ------
    PayloadError
        If it is not what its content type says.
    """
    kind = answer.content_type or ""
    value = decode(answer.body, kind)
    return numbers(value) if kind.partition(";")[0].strip() == CSV else value


def with_expected(answer: Any, expected: Any, tolerance: float) -> tuple[Step, Failure | None]:
    """Compare an answer with a value. Whole numbers may stand for floats in it."""
    differing = differences(answer, expected, tolerance=tolerance, kinds=False)
    if differing:
        return _failed(_EXPECTED, tolerance, differing, "expected", "")
    return Step("compare", PASSED, _EXPECTED, f"within {tolerance:g}"), None


def with_live(
    answer: Any,
    directory: Path,
    model: Any,
    headers: Headers,
    body: bytes,
    *,
    tolerance: float,
    environ: Mapping[str, str],
) -> tuple[Step, Failure | None]:
    """Compare an answer with that of the same handlers with the live model.

    The live model is asked twice: what differs between the two is not compared.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return Step("compare", SKIPPED, _LIVE, "there is no live model to compare with"), None
    from sm_magics.packaging.artifact import unwrapped

    from .reference import NoReference, answers

    model = unwrapped(model)
    try:
        first, second = (decoded(one) for one in answers(directory, model, headers, body, environ=environ, times=2))
    except (NoReference, PayloadError) as error:
        return Step("compare", SKIPPED, _LIVE, "there is nothing to compare with", (str(error),)), None
    random = {one.path for one in differences(second, first, tolerance=tolerance)}
    differing = differences(answer, first, tolerance=tolerance, besides=random)
    if differing:
        return _failed(_LIVE, tolerance, differing, "the notebook", "If the model has changed since, package it again.")
    if random:
        said = "the live model answers differently each time: only shapes and types are compared"
        return Step("compare", WARNING, _LIVE, said, _why(model)), None
    return Step("compare", PASSED, _LIVE, f"within {tolerance:g}"), None


def _failed(
    what: str, tolerance: float, differing: list[Difference], other: str, fix: str
) -> tuple[Step, Failure | None]:
    details = tuple(map(str, differing[:_SHOWN]))
    said = f"The package gives another answer than {other}: {details[0]}."
    return Step("compare", FAILED, what, f"not within {tolerance:g}", details), Failure("compare", said, fix=fix)


def _why(model: Any) -> tuple[str, ...]:
    """Return what makes a model answer differently each time, as far as its modules say."""
    kinds = {type(module).__name__ for module in model.modules() if module.training}
    random = sorted(kind for kind in kinds if "Dropout" in kind)
    if not random:
        return ()
    return (f"It is in training mode, and has {', '.join(random)}: model.eval() before packaging.",)
