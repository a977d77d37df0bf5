"""Paths that a script names and that lead nowhere in the container."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sm_magics.authoring.findings import Finding
from sm_magics.authoring.slicing.executed import executed

# What there is under /opt/ml while a model is trained or data processed, and not while it is served.
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
_TRAINING = re.compile(r"/opt/ml/(?:input|output|checkpoints|processing|code|failure)(?:/|$)")
_MODEL = re.compile(r"/opt/ml/model(?:/|$)")
_HOME = re.compile(r"/home/(?!model-server/)[^/\s]+/|/Users/[^/\s]+/|/root/|/mnt/|/content/|[A-Za-z]:[\\/](?![\\/])")
_LONGEST = 500
# Directories that a container has too.
_EVERYWHERE = {"bin", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}


def check_paths(tree: ast.Module, path: str) -> Iterator[Finding]:
    """Yield absolute paths, as written in the parts of a file that the container executes."""
    for text, line in _strings(tree):
        if _TRAINING.match(text):
            yield Finding(
                "SM161",
                "warning",
                f"{text} exists while a training job runs, and not in an endpoint's container.",
                "Put what the handlers need beside the model, and take it from model_dir.",
                path=path,
                line=line,
            )
        elif _MODEL.match(text):
            yield Finding(
                "SM162",
                "warning",
                f"{text} is where the container has the model, but not one that serves several models, nor SageMaker "
                "on this machine.",
                "Use model_fn's argument: os.path.join(model_dir, ...).",
                path=path,
                line=line,
            )
        elif _is_of_this_machine(text):
            yield Finding(
                "SM163",
                "warning",
                f"{text} is a path of this machine: the container has no such file or directory.",
                "Put the file beside the model (%sm_package MODEL --include FILE), and take it from model_dir.",
                path=path,
                line=line,
            )


def _strings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    nodes = list(executed(tree))
    # Docstrings, and text that stands alone, are nobody's path; nor is what a training script keeps for its training.
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for kept in tree.body:
        if isinstance(kept, ast.Assign) and not any(isinstance(to, ast.Name) and to.id in read for to in kept.targets):
            alone |= {id(part) for part in ast.walk(kept)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value, node.lineno


def _is_of_this_machine(text: str) -> bool:
    if "\n" in text or len(text) > _LONGEST or "://" in text:
        return False
    if _HOME.match(text):
        return True
    parts = text.split("/")
    if not text.startswith("/") or len(parts) < 3 or parts[1] in _EVERYWHERE:  # noqa: PLR2004 - /a/b
        return False
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
