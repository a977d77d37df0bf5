"""A version of an endpoint in this process, where moments can be chosen that a client cannot hit on purpose."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from local_service import DOUBLE, IMAGE, fresh_home, variant

from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.hosting.dependencies import Dependencies
from sm_magics.local.hosting.interpreters import Interpreters
from sm_magics.local.hosting.versions import Version
from sm_magics.local.store import Store
from sm_magics.serving.messages import Answer, Request

SNAPSHOT = {
    "config": {
        "EndpointConfigName": "any",
        "ProductionVariants": [variant("any", InitialVariantWeight=1.0)],
    },
    "models": {"any": {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://bucket/key"}}},
}
JSON = (("Content-Type", "application/json"),)


async def _asked_and_closed_in_one_moment(home: Path) -> Answer:
    interpreters = Interpreters(home / "run", sys.executable)
    logs = Logs(Store(home / "state.sqlite3"), lambda: None)
    version = Version(
        "any",
        home / "version",
        SNAPSHOT,
        interpreters=interpreters,
        dependencies=Dependencies(),
        logs=logs,
        idle_after=60,
    )
    model = home / "version" / "AllTraffic" / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_text(DOUBLE)
    try:
        await version.start()
        closing = asyncio.create_task(version.close(drain=60))
        asked = version.ask(version.variants[0], Request("POST", "/invocations", JSON, b"[1, 2]"))
        answer = await asked
        await closing
        return answer
    finally:
        await interpreters.close()


def test_a_request_that_a_version_took_is_answered_though_it_is_replaced_in_that_moment():
    with fresh_home() as home:
        answer = asyncio.run(_asked_and_closed_in_one_moment(home))
    assert (answer.status, answer.body) == (200, b"[2, 4]")
