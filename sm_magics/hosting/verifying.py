"""Whether an endpoint that is in service answers: the sample that was recorded with its package is sent to it once.

InService says that the container answers ``/ping``. Whether the model loaded, and takes what it was made for, only a
request shows (aws/deep-learning-containers#2917).
"""

from __future__ import annotations

from dataclasses import dataclass

from sm_magics.errors import ModelError, PredictionError, SmMagicsError
from sm_magics.packaging import Package

from .endpoints import Endpoint


@dataclass(frozen=True)
class Verification:
    """What came of the recorded sample.

    Attributes
    ----------
    answered
        Whether it was answered; None if it could not be asked.
    what
        A sentence for the card.
    """

    answered: bool | None
    what: str


def serves(endpoint: Endpoint, package: Package) -> bool:
    """Return whether an endpoint was made for a package: its configuration's name carries the package's digest."""
    return endpoint.is_in_service and f"-{package.digest[:8]}-" in endpoint.config_name


def verify(endpoint: Endpoint, package: Package) -> Verification | None:
    """Send the recorded sample; None where none was recorded, or something else is served."""
    if package.sample is None or not serves(endpoint, package):
        return None
    try:
        endpoint.predict(package.sample)
    except ModelError as error:
        return Verification(False, f"Not verified by the recorded sample: {error.message.splitlines()[0]}")
    except PredictionError as error:
        return Verification(None, f"Not verified: the recorded sample cannot be sent as JSON ({error.message})")
    except SmMagicsError as error:
        return Verification(None, f"Not verified: {error.message.splitlines()[0]}")
    return Verification(True, "Verified: it answers the recorded sample.")
