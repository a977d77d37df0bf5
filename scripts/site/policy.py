"""The IAM policy that covers what the package sends, from the calls of boto3 in its source."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import botocore.session
from botocore import xform_name

import sm_magics
from sm_magics.hosting import permissions

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch", "sts", "iam", "pricing")
_PASS_ROLE = "is not authorized to perform: iam:PassRole on resource: arn:aws:iam::ACCOUNT:role/ROLE"
_NO_OPERATIONS = {"search"}  # of SageMaker; here a method of regular expressions
_BESIDE = {"sagemaker:AddTags"}  # asked for by each request that creates something with tags
_NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
_WHERE = {
    "sagemaker": "arn:aws:sagemaker:*:*:*",
    "s3": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"],
    "logs": "arn:aws:logs:*:*:log-group:/aws/sagemaker/*",
}
_TITLES = {"look": "LookAround", "deploy": "DeployAndCall", "delete": "Delete"}


def as_json() -> str:
    """Return the policy as a block of Markdown."""
    return f"```json\n{json.dumps(document(), indent=2)}\n```"


def document() -> dict[str, object]:
    """Return the policy: what looks, what deploys and calls, what deletes, and the role that is handed on."""
    statements: list[dict[str, object]] = []
    for purpose, title in _TITLES.items():
        for service, found in _by_service(purpose).items():
            name = f"{title}{service.replace('-', '').title()}"
            resource = "*" if purpose == "look" and service == "sagemaker" else _WHERE.get(service, "*")
            statements.append({"Sid": name, "Effect": "Allow", "Action": found, "Resource": resource})
    pass_role = permissions.statement(_PASS_ROLE, None)
    return {"Version": "2012-10-17", "Statement": [*statements, {"Sid": "HandOnTheRole", **pass_role}]}


def actions() -> set[str]:
    """Return the IAM actions of all operations that the package calls."""
    session = botocore.session.Session()
    methods: dict[str, list[tuple[str, str]]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            if xform_name(operation) not in _NO_OPERATIONS:
                methods.setdefault(xform_name(operation), []).append((service, operation))
    called = _called(Path(sm_magics.__file__).parent, methods)
    found = {action for service, operation in called for action in _actions(service, operation)}
    return (found | _BESIDE) - _NEEDS_NO_PERMISSION


def _actions(service: str, operation: str) -> tuple[str, ...]:
    asked = permissions.Asked("sagemaker" if service == "sagemaker-runtime" else service, operation, {})
    said = permissions.statement("", asked).get("Action", ())
    return (said,) if isinstance(said, str) else tuple(said)


def _called(package: Path, methods: dict[str, list[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Return the operations whose methods are called, or whose names are handed on as text, where boto3 is used."""
    found: set[tuple[str, str]] = set()
    for path in [*(package / "hosting").rglob("*.py"), package / "sdk.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            texts = [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
            for method in [name, *texts]:
                services = {service for service, _ in methods.get(method, ())}
                if services and (len(services) == 1 or method.startswith("list_tags")):
                    found |= {one for one in methods[method] if one[0] in {"sagemaker", *services}}
    return found


def _by_service(purpose: str) -> dict[str, list[str]]:
    sorted_actions = sorted(actions())
    chosen = [action for action in sorted_actions if _purpose(action) == purpose]
    services = dict.fromkeys(action.partition(":")[0] for action in chosen)
    return {service: [action for action in chosen if action.startswith(f"{service}:")] for service in services}


def _purpose(action: str) -> str:
    verb = action.partition(":")[2]
    if verb.startswith("Delete"):
        return "delete"
    return "look" if verb.startswith(("Describe", "List", "Get", "Filter", "Simulate")) else "deploy"
