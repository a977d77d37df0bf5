"""What a deployment plan looks like: the requests in their order, and of each what matters.

Names end in digests, which differ from machine to machine: they are shown as ``…``, and in full in the plan itself.
Values of the container's own variables are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sm_magics.hosting import DeploymentPlan
from sm_magics.hosting.plan import ENVIRONMENT, Request

from . import page
from .page import BUSY, OK, Part, Shown

MASK = "••••"
_DIGESTS = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{8}\b|\b[0-9a-f]{64}\b")
_ACCOUNT = re.compile(r"(?<=[:-])\d{12}\b")
_PLAIN = {*ENVIRONMENT, "SAGEMAKER_REGION"}
_LEFT_OUT = {
    *("Tags", "VariantName", "InitialVariantWeight", "EndpointName", "Bucket", "Key", "LocationConstraint"),
    "EnableCapture",
}  # what every deployment says alike, or what stands in the line above


def plan(value: DeploymentPlan) -> Shown:
    """Return a plan: what would be sent, in its order, what is there already, and what would go afterwards."""
    if value.is_live:
        said = page.paragraph("An endpoint serves exactly this already: nothing would be sent.")
        return page.card(OK, value.endpoint_name, f"live already · {value.place}", said)
    verb = {"CreateEndpoint": "would be created", "UpdateEndpoint": "would be updated"}
    parts = [_requests(value), *(page.paragraph(note) for note in value.notes)]
    if value.existing.superseded:
        parts.append(page.paragraph("Once it is in service, these go:"))
        parts.append(page.table([(page.dim(kind), short(name, value)) for kind, name in value.existing.superseded]))
    parts.append(page.paragraph("Nothing has been sent. As a script:", code="%sm_deploy … --export deploy.py"))
    what = verb[value.requests[-1].operation]
    return page.card(BUSY, value.endpoint_name, f"{what} · {value.place}", *parts)


def script(path: str, target: str, names: tuple[str, ...]) -> Shown:
    """Return that a plan was written as a script, and what the script needs from the environment."""
    parts = [page.paragraph("Run it:", code=f"!python {path}")]
    if names:
        parts.insert(0, page.paragraph(f"It reads from the environment: {', '.join(names)}."))
    return page.card(OK, path, f"written · needs {target}", *parts)


def _requests(value: DeploymentPlan) -> Part:
    rows: list[tuple[object, ...]] = []
    for request in value.requests:
        subject, name = _subject(request, value), page.unbroken(page.code(request.operation))
        if request.is_done:
            rows.append((page.sign(OK, "✓"), name, page.dim(f"{subject} · there already")))
            continue
        rows.append((page.sign(BUSY, "→"), name, subject))
        rows += [("", page.whole(member), text) for member, text in _details(request, value)]
    return page.table(rows)


def _subject(request: Request, value: DeploymentPlan) -> str:
    """Return what a request is about."""
    if request.operation == "PutObject":
        return f"{short(value.upload, value)} · {page.size(value.size)}"
    names = ("EndpointName", "EndpointConfigName", "ModelName", "Bucket")
    return short(str(next(request.arguments[name] for name in names if name in request.arguments)), value)


def _details(request: Request, value: DeploymentPlan) -> list[tuple[str, str]]:
    """Return what a request says, each with its name in the API; values of one name stand below each other."""
    own = f"{request.operation.removeprefix('Create')}Name"
    said: dict[str, list[str]] = {}
    for name, text in _flat(request.arguments):
        if name != own and text not in said.setdefault(name, []):
            said[name].append(short(text, value))
    return [("" if index else name, text) for name, texts in said.items() for index, text in enumerate(texts)]


def _flat(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a request's members in one list: those of shapes within it stand after each other."""
    rows: list[tuple[str, str]] = []
    for name, member in value.items():
        if name in _LEFT_OUT:
            continue
        if name == "Environment":
            rows += [(name, f"{key}={text if key in _PLAIN else MASK}") for key, text in sorted(member.items())]
        elif isinstance(member, Mapping):
            rows += _flat(member)
        elif isinstance(member, list):
            inner = [row for item in member if isinstance(item, Mapping) for row in _flat(item)]
            rows += inner or [(name, ", ".join(map(str, member)))]
        else:
            rows.append((name, str(member)))
    return rows


def short(text: str, value: DeploymentPlan) -> str:
    """Return a name with its digests, and an account of this machine's, as an ellipsis."""
    shown = _DIGESTS.sub("…", text)
    return _ACCOUNT.sub("…", shown) if value.is_local else shown
