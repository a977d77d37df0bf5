"""The front end's types are those of the answers: ``labextension/src/routes.ts`` names no member that is not sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faulty import denied

from sm_magics.server import status

TYPES = (Path(__file__).parents[2] / "labextension" / "src" / "routes.ts").read_text(encoding="utf-8")

_INTERFACE = re.compile(r"export interface (\w+)(?: extends (\w+))? \{\n(.*?)\n\}", re.DOTALL)
_MEMBER = re.compile(r"^  (\w+)(\?)?:((?:[^;{}]|\{[^}]*\})*);", re.MULTILINE)


def interfaces() -> dict[str, dict[str, str]]:
    """Return the interfaces' members that are always there, inherited ones too, each with its type's text."""
    found: dict[str, dict[str, str]] = {}
    for name, parent, body in _INTERFACE.findall(re.sub(r"/\*.*?\*/", "", TYPES, flags=re.DOTALL)):
        own = {member: kind.strip() for member, optional, kind in _MEMBER.findall(body) if not optional}
        found[name] = {**found.get(parent, {}), **own}
    return found


KNOWN = interfaces()


def check(name: str, answer: dict) -> None:
    """Compare an answer with the interface of that name: members, and for plain ones what they are."""
    types = {"string": str, "number": (int, float), "boolean": bool}
    for member, kind in KNOWN[name].items():
        assert member in answer, f"{name}.{member} is not sent"
        value, plain = answer[member], kind.removesuffix("| null").strip()
        if value is None:
            assert kind.endswith("| null"), f"{name}.{member} is null"
        elif plain in types:
            assert isinstance(value, types[plain]), f"{name}.{member} is {value!r}"
            assert plain == "boolean" or not isinstance(value, bool)
        elif plain.endswith("[]") or plain.startswith("Record<"):
            assert isinstance(value, dict if plain.startswith("Record<") else list)
        elif re.fullmatch(r"\|?\s*('[\w ]+'\s*\|?\s*)+", plain):
            assert value in re.findall(r"'([\w ]+)'", plain), f"{name}.{member} is {value!r}"


def test_the_types_are_read():
    assert len(KNOWN) > 20
    assert KNOWN["IEndpoint"]["instance_count"] == "number | null"
    assert "name" in KNOWN["IEndpointDetail"]  # inherited


@pytest.mark.parametrize("word", sorted({"ok", "waiting", "unknown", *status._WORDS.values()}))
def test_every_word_about_credentials_is_known(word):
    assert f"'{word}'" in KNOWN["IAccount"]["credentials"]


async def test_the_status_is_as_the_types_say(ask, as_aws):
    found = (await ask("status", query={"region": as_aws, "fresh": "true"})).body
    check("IStatus", found)
    check("IAccount", found["aws"])
    check("IDefaults", (await ask("settings")).body)
    alone = (await ask("status", query={"aws": "false"})).body
    check("IStatus", alone)


async def test_endpoints_are_as_the_types_say(ask, deployed, as_aws, faults):
    faults.always("ListTrainingJobs", denied)
    query = [("where", "local"), ("where", as_aws), ("where", "eu-central-1")]
    found = (await ask("endpoints", query=query)).body
    check("IEndpoints", found)
    for place in found["places"]:
        check("IEndpointPlace", place)
        for row in place["endpoints"]:
            check("IEndpoint", row)
    one = (await ask("endpoints", "local", "served")).body
    check("IEndpointDetail", one)
    check("IVariant", one["variants"][0])
    check("ILog", (await ask("endpoints", "local", "served", "log")).body)
    payload = {"body": "1", "content_type": "application/json", "accept": "application/json"}
    assert {*KNOWN["IPayload"]} <= {*payload}
    check("IPrediction", (await ask("endpoints", "local", "served", "predictions", send=payload)).body)
    check("ISnippets", (await ask("endpoints", "local", "served", "snippets", send=payload)).body)
    check("IRemovalPlan", (await ask("endpoints", "local", "served", "removal")).body)
    refused = await ask("endpoints", "local", "served", "predictions", send={**payload, "body": '"raise"'})
    check("IProblem", refused.error)
    jobs = (await ask("training-jobs", query={"where": as_aws})).body
    check("IJobs", jobs)
    check("IProblem", jobs["places"][0]["problem"])


async def test_training_jobs_are_as_the_types_say(ask, trained):
    found = (await ask("training-jobs", query={"where": "local"})).body
    check("IJobs", found)
    check("IJobPlace", found["places"][0])
    check("IJob", found["places"][0]["jobs"][0])
    one = (await ask("training-jobs", "local", trained)).body
    check("IJobDetail", one)
    check("IDiagnosis", one["diagnosis"])


async def test_cells_and_frames_are_as_the_types_say(ask, jp_root_dir):
    (jp_root_dir / "a.ipynb").write_text("{}")
    cells = [{"id": "1", "source": "%%sm_inference\ndef model_fn(d):\n    return 1"}]
    found = (await ask("cells", send={"notebook": "a.ipynb", "cells": cells})).body
    check("ICellState", found["cells"][0])
    frames = [{"file": "code/inference.py", "line": 1}]
    found = (await ask("frames", send={"notebook": "a.ipynb", "frames": frames})).body
    check("IFoundFrame", found["frames"][0])
