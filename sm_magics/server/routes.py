"""Which address does what. What answers is imported when the first request comes."""

from __future__ import annotations

from dataclasses import dataclass, field

_ENDPOINT = r"endpoints/(?P<where>[^/]+)/(?P<name>[^/]+)"
_JOB = r"training-jobs/(?P<where>[^/]+)/(?P<name>[^/]+)"


@dataclass(frozen=True)
class Route:
    """An address.

    Attributes
    ----------
    pattern
        Below ``sm-magics/``; its groups are given to whoever answers.
    get, post
        Who answers: a module here and a function in it. Empty: not allowed.
    created
        The status with which ``post`` is answered.
    """

    pattern: str
    get: str = ""
    post: str = ""
    created: int = field(default=200)


ROUTES = (
    Route("status", get="status.status"),
    Route("settings", get="status.settings"),
    Route("local/start", post="status.start"),
    Route("endpoints", get="endpoints.listed"),
    Route(_ENDPOINT, get="endpoints.one"),
    Route(f"{_ENDPOINT}/log", get="endpoints.log"),
    Route(f"{_ENDPOINT}/predictions", post="predictions.predicted"),
    Route(f"{_ENDPOINT}/snippets", post="snippets.written"),
    Route(f"{_ENDPOINT}/removal", get="removals.planned", post="removals.started", created=202),
    Route("removals", get="removals.all_of_them"),
    Route("removals/(?P<id>[^/]+)", get="removals.one"),
    Route("training-jobs", get="training_jobs.listed"),
    Route(_JOB, get="training_jobs.one"),
    Route(f"{_JOB}/log", get="training_jobs.log"),
    Route("cells", post="cells.compared"),
    Route("frames", post="cells.located"),
)
