"""What the container could import of what is installed here: the image's packages, and those that the package declares.

Both with everything that they require. What a requirement of theirs is called depends on the version, so it is asked
of what is installed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_TOOLKIT = ("sagemaker-pytorch-inference", "torch", "numpy")  # what serves the model, in every image
_NO_PACKAGES = {"", "..", "__pycache__", "bin", "share", "etc", "include"}


def importable(image: Iterable[str], requirements: Path | None) -> tuple[str, ...]:
    """Return the top-level modules that a container has, as far as they are installed here.

    Parameters
    ----------
    image
        Names of the distributions in the image.
    requirements
        The package's ``code/requirements.txt``, None if there is none.
    """
    names: set[str] = set()
    declared = _declared(requirements) if requirements else []
    waiting = [*(Requirement(name) for name in (*image, *_TOOLKIT)), *declared]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        key = f"{canonicalize_name(wanted.name)}[{','.join(sorted(wanted.extras))}]"
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            continue
        names |= _modules(found)
        waiting += _required(found, wanted.extras)
    return tuple(sorted(names))


def not_installed(module: str, image: Iterable[str], requirements: Path | None) -> str:
    """Return the distribution that would bring a module in the container and is not installed here; empty if none."""
    wanted = {canonicalize_name(name) for name in image}
    wanted |= {canonicalize_name(one.name) for one in (_declared(requirements) if requirements else [])}
    here = {canonicalize_name(one.metadata["Name"] or "") for one in distributions()}
    top = canonicalize_name(module.partition(".")[0])
    return next((name for name in sorted(wanted - here) if name == top or name.startswith(f"{top}-")), "")


def _declared(file: Path) -> list[Requirement]:
    found = []
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        text = re.sub(r"(^|\s+)#.*$|\s+--?[a-z].*$", "", line).strip()
        try:
            found += [Requirement(text)] if text and not text.startswith("-") else []
        except InvalidRequirement:
            continue  # a path or a URL, which pip alone understands
    return found


def _required(found: Distribution, extras: Iterable[str]) -> list[Requirement]:
    result = []
    for text in found.requires or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            result.append(one)
    return result


def _modules(found: Distribution) -> set[str]:
    declared = found.read_text("top_level.txt")
    if declared:
        return {name for name in declared.split() if name.isidentifier()}
    tops = {PurePosixPath(str(file)).parts[0] for file in found.files or () if _is_module(PurePosixPath(str(file)))}
    return {top.partition(".")[0] for top in tops}


def _is_module(file: PurePosixPath) -> bool:
    top = file.parts[0] if file.parts else ""
    return top not in _NO_PACKAGES and file.suffix in {".py", ".so", ".pyd"} and not top.endswith(".dist-info")
