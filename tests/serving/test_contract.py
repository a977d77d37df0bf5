"""The recorded answers of the real container stack, replayed.

Numbers come from a different CPU and BLAS than ours: floats in a body may differ in their last digits. Everything
else is compared exactly.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

CONTRACT = Path(__file__).parent / "contract"
FILES = ("cases.jsonl", "forms_and_values.jsonl", "handlers_and_paths.jsonl")
CASES = [json.loads(line) for file in FILES for line in (CONTRACT / file).read_text().splitlines()]


def server_key(case: dict[str, Any]) -> tuple[str, ...]:
    """Tell which cases one server can answer; how many workers it has makes no difference to them."""
    return (case["model"], *(f"{k}={v}" for k, v in case["environment"].items() if k.startswith("TS_")))


CASES.sort(key=server_key)  # all cases of one server together, in their order
FLOAT = re.compile(rb"-?\d+\.\d+(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def server_of(start_server: Callable) -> Callable:
    servers: dict[tuple[str, ...], Any] = {}

    def server_for(case: dict[str, Any]):
        key = server_key(case)
        if key not in servers:
            for other in servers.values():
                other.stop()
            servers.clear()
            servers[key] = start_server(CONTRACT / "models" / case["model"], environ=case["environment"])
        return servers[key].wait_until_listening()

    return server_for


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case['model']}-{case['case']}" for i, case in enumerate(CASES)])
def test_recorded_request_is_answered_as_recorded(case: dict[str, Any], server_of: Callable) -> None:
    sent, recorded = case["request"], case["answer"]
    body = base64.b64decode(sent["body_base64"])
    reply = server_of(case).send(sent["method"], sent["path"], sent["headers"], body)

    assert (reply.status, reply.content_type) == (recorded["status"], recorded["content_type"]), reply.body
    if "body_base64" in recorded:
        assert_same(reply.body, base64.b64decode(recorded["body_base64"]))
    if "json_contains" in recorded:
        assert_contains(json.loads(reply.body), recorded["json_contains"])
    if "message" in recorded:
        message = recorded["message"].encode()
        assert reply.body.startswith(message + b"\n")
    if recorded.get("has_traceback"):
        assert b"\nTraceback (most recent call last):\n" in reply.body


def assert_same(body: bytes, recorded: bytes) -> None:
    if body == recorded:
        return
    if recorded.startswith(b"\x93NUMPY"):
        ours, theirs = (np.load(io.BytesIO(data), allow_pickle=False) for data in (body, recorded))
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    elif recorded.startswith(b"PK"):
        ours, theirs = (torch.load(io.BytesIO(data), weights_only=True) for data in (body, recorded))
        assert torch.equal(ours, theirs)
    else:
        assert FLOAT.sub(b"#", body) == FLOAT.sub(b"#", recorded)
        for ours, theirs in zip(FLOAT.findall(body), FLOAT.findall(recorded), strict=True):
            assert math.isclose(float(ours), float(theirs), rel_tol=1e-6)


def assert_contains(value: Any, part: Any) -> None:
    if isinstance(part, dict):
        for key, expected in part.items():
            assert_contains(value[key], expected)
    else:
        assert value == part
