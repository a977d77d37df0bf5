"""Which installed distribution brings a module, from the metadata that installers leave.

`importlib.metadata.packages_distributions` answers the same for everything that is installed, and takes most of a
second where there is much; this reads only as far as it must.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.utils import canonicalize_name

_WHOLE = 1000  # deeper than any dotted name: a package of its own, and no namespace


def bringing(modules: Collection[str]) -> dict[str, Distribution]:
    """Return the installed distribution that brings each module, for those that one brings.

    Parameters
    ----------
    modules
        Dotted names: of a namespace package, several distributions bring one part each (``google.cloud.storage``).
    """
    there: dict[str, Distribution] = {}
    for one in distributions():
        # The first on the path is the one that is imported. A damaged directory has no name.
        if name := said(one, "Name"):
            there.setdefault(canonicalize_name(name), one)
    best: dict[str, tuple[int, Distribution]] = {}
    for name in sorted(there, key=lambda name: (not _is_namesake(name, modules), name)):
        wanted = [module for module in modules if best.get(module, (0, None))[0] < _WHOLE]
        if not wanted:
            break
        listing: str | None = None
        for module in wanted:
            if listing is None:
                listing = _listing(there[name])
            depth = _depth(module, listing)
            if depth > best.get(module, (0, None))[0]:
                best[module] = (depth, there[name])
    return {module: found for module, (_, found) in best.items()}


def said(distribution: Distribution, field: str) -> str:
    """Return a field of a distribution's metadata, empty where it is missing: a damaged one has not even a name."""
    return str((distribution.metadata.get_all(field) or [""])[0])


def _is_namesake(name: str, modules: Collection[str]) -> bool:
    return any(canonicalize_name(module.partition(".")[0]) == name for module in modules)


def _listing(distribution: Distribution) -> str:
    """Return the installed files as lines, or the top-level modules as if they were files where no list was left."""
    if record := distribution.read_text("RECORD"):
        return "\n" + record
    tops = (distribution.read_text("top_level.txt") or "").split()
    return "".join(f"\n{top}/__init__.py," for top in tops)


def _depth(module: str, listing: str) -> int:
    """Return how much of a dotted name a distribution brings: `_WHOLE` for a package of its own, else the parts."""
    parts = module.split(".")
    top = parts[0]
    if f"\n{top}/__init__.py" in listing or re.search(rf"\n{re.escape(top)}\.(?:py|[\w.-]*so|[\w.-]*pyd),", listing):
        return _WHOLE
    for length in range(len(parts), 1, -1):
        path = "/".join(parts[:length])
        if f"\n{path}/__init__.py" in listing or f"\n{path}.py" in listing:
            return length
    # A directory without __init__.py is a package too, if something other than Python's own metadata lies in it.
    return 1 if len(parts) == 1 and f"\n{top}/" in listing else 0


def origin(distribution: Distribution) -> tuple[str, Path | None]:
    """Return where a distribution was installed from if not from an index: a requirement, or a place on this machine.

    The requirement is that of a version control system or a URL. Conda leaves the place where it built the package
    (PEP 610 has no word for that), which says nothing about this machine.
    """
    text = distribution.read_text("direct_url.json")
    if not text or (distribution.read_text("INSTALLER") or "").strip() == "conda":
        return "", None
    try:
        found = json.loads(text)
        url = str(found["url"])
    except (ValueError, KeyError, TypeError):
        return "", None
    if url.startswith("file:"):
        return "", Path(url2pathname(unquote(urlsplit(url).path)))
    name = said(distribution, "Name")
    if version_control := found.get("vcs_info"):
        return f"{name} @ {version_control['vcs']}+{url}@{version_control['commit_id']}", None
    return f"{name} @ {url}", None


def closure(names: Collection[str]) -> tuple[set[str], bool]:
    """Return the distributions that installing some brings, and whether that is known: all of them are installed here.

    Parameters
    ----------
    names
        Normalized names.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    there: dict[str, Distribution] = {canonicalize_name(said(one, "Name")): one for one in distributions()}
    found: set[str] = set()
    known = True
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if name not in there:
            known = known and name not in names
            continue
        for text in there[name].requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            # An extra may have been asked for: what it brings counts.
            todo.append(canonicalize_name(requirement.name))
    return found, known


def requirements_of(distribution: Distribution) -> Iterator[tuple[str, str]]:
    """Yield the names and version specifiers of what a distribution always requires on Linux."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        environment = {"extra": "", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield canonicalize_name(requirement.name), str(requirement.specifier)
