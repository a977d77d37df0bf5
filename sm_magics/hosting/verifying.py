"""Whether an endpoint that is in service answers: the sample that was recorded with its package is sent to it once.

InService says that the container answers ``/ping``. Whether the model loaded, and takes what it was made for, only a
request shows (aws/deep-learning-containers#2917). Where the package was proven, the answer has to be the proof's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sm_magics.errors import ModelError, PredictionError, SmMagicsError
from sm_magics.packaging import Package, Report
from sm_magics.packaging.report import PASSED
from sm_magics.payload import CSV, JSON
from sm_magics.progress import Listener, Progress, ignore

from .endpoints import Endpoint
from .invoking import Prediction

PHASE = "Verify"
"""What the phase is called that is reported meanwhile."""

TOLERANCE = 1e-3
"""How far a number may be off, as a share of the largest one beside it: another processor and another torch round
otherwise."""

_MOST = 3
"""Differences that are named."""


@dataclass(frozen=True)
class Verification:
    """What came of the recorded sample.

    Attributes
    ----------
    answered
        Whether it was answered, and as the proof answered it; None if it could not be asked.
    what
        A sentence for the card.
    """

    answered: bool | None
    what: str


def serves(endpoint: Endpoint, package: Package) -> bool:
    """Return whether an endpoint was made for a package: its configuration's name carries the package's digest."""
    return endpoint.is_in_service and f"-{package.digest[:8]}-" in endpoint.config_name


def verify(
    endpoint: Endpoint, package: Package, proof: Report | None = None, listener: Listener = ignore
) -> Verification | None:
    """Send the recorded sample; None where none was recorded, or something else is served.

    Parameters
    ----------
    proof
        The package's proof. Where its answer was the notebook's, the endpoint's has to be the same.
    """
    if package.sample is None or not serves(endpoint, package):
        return None
    listener(Progress(PHASE, note=endpoint.name))
    proof = proof if proof is not None and proof.digest == package.digest else None
    asked = {"content_type": proof.content_type, "accept": proof.accept} if proof else {}
    try:
        answer = endpoint.predict(package.sample, **{name: kind for name, kind in asked.items() if kind})
    except SmMagicsError as error:
        return _refused(error, endpoint, asked.get("content_type") or JSON)
    if proof is None or not _is_sure(proof):
        return Verification(True, "Verified: it answers the recorded sample.")
    said = _differing(answer, proof)
    if not said:
        return Verification(True, "Verified: it answers the recorded sample as the notebook does.")
    return Verification(False, f"Not verified, it answers the recorded sample otherwise than the notebook does: {said}")


def _refused(error: SmMagicsError, endpoint: Endpoint, content_type: str) -> Verification:
    said = error.message.splitlines()[0]
    if isinstance(error, ModelError):
        logs = f"%sm_logs {endpoint.name}"
        return Verification(False, f"Not verified, the recorded sample was not answered: {said} ({logs})")
    if isinstance(error, PredictionError):
        return Verification(None, f"Not verified: the recorded sample cannot be sent as {content_type} ({said})")
    return Verification(None, f"Not verified: {said}")


def _differing(answer: Prediction, proof: Report) -> str:
    """Return where an answer differs from the proof's, empty if it does not."""
    from sm_magics.packaging.proving.comparing import differences, numbers

    is_csv = answer.content_type.partition(";")[0].strip() == CSV
    value = numbers(answer.value) if is_csv else answer.value
    found = differences(value, proof.answer, tolerance=TOLERANCE, kinds=False)
    return "; ".join(map(str, found[:_MOST])) + ("; …" if len(found) > _MOST else "")


def _is_sure(proof: Report) -> bool:
    """Return whether the proof's answer is one that another process has to give too."""
    compared = proof.step("compare")
    return compared is not None and compared.status == PASSED
