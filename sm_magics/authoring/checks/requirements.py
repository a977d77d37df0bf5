"""Whether what ``code/`` imports will be there in the container: what image and requirements have, and ask for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from sm_magics.authoring.findings import Finding
from sm_magics.authoring.image import Image
from sm_magics.authoring.needs.dependencies import TORCH_FAMILY, Dependencies, conflicts
from sm_magics.authoring.needs.distribution_names import modules_of
from sm_magics.authoring.needs.distributions import closure
from sm_magics.authoring.needs.requirements_file import Line, RequirementsFile, exists_in_package

from .imported import Import, imported

REQUIREMENTS = "code/requirements.txt"
"""The file that the container installs, relative to the model directory."""


def check_imports(needed: Dependencies, file: RequirementsFile | None, image: Image | None) -> Iterator[Finding]:
    """Yield the imports that nothing provides.

    Parameters
    ----------
    needed
        What the code needs beyond the image.
    file
        The user's own requirements; None where packaging writes them.
    image
        The image, None where its contents are not known: then nothing is known to be missing.
    """
    yield from needed.findings
    if image is None or not (needed.requirements or needed.missing):
        return
    if file is None:
        yield from (_missing(one, image) for one in needed.missing)
        yield from (_unpinned(one, needed) for one in needed.unpinned)
        return
    if any(not line.name and not line.error for line in file.lines):
        return  # a path, a URL or another file: what it brings is not to be seen here
    brought, known = closure([line.name for line in file.lines if line.name and _applies(line, image)])
    if not known:
        return  # what is not installed here may bring anything
    lacking = [*needed.missing, *needed.unpinned]
    for one in lacking:
        if not _brings(brought, one.top):
            yield _missing(one, image)
    for top, name in needed.provided.items():
        if (
            name in needed.requirements
            and not _brings(brought, top)
            and name not in brought
            and top not in {one.top for one in lacking}
        ):
            yield _not_listed(top, name, needed.requirements[name], image)


def check_requirements(file: RequirementsFile, code: Path, image: Image | None) -> Iterator[Finding]:
    """Yield what is wrong with a requirements file that a person wrote."""
    for line in file.lines:
        if line.error:
            yield _at(
                line,
                "SM151",
                "error",
                f"pip cannot read {line.text!r} ({line.error}): installing would fail, and the container end before "
                "it serves, again and again.",
                "One requirement a line: NAME==VERSION",
            )
        elif line.path and not exists_in_package(line.path, code):
            yield _at(
                line,
                "SM152",
                "error",
                f"{line.path} is not in code/: pip would not find it, and the container would end before it serves.",
                "Put the file into code/ and name it as /opt/ml/model/code/FILE, or remove the line: what is installed "
                "from this machine is copied into code/ where its modules are imported.",
            )
        elif line.requirement and _applies(line, image):
            yield from _check_version(line, file, image, code)


def check_isolation(requirements: str) -> Finding | None:
    """Return why a model with these requirements cannot be deployed with network isolation, or None if it can.

    Parameters
    ----------
    requirements
        The text of ``code/requirements.txt``.
    """
    from sm_magics.authoring.needs.requirements_file import read_requirements

    wanted = [line for line in read_requirements(requirements).lines if not line.path]
    if not wanted:
        return None
    return _at(
        wanted[0],
        "SM171",
        "error",
        f"With network isolation the container reaches no index: pip could not install {wanted[0].text}, and the "
        "container would end before it serves.",
        "Put the wheels into code/ and name them as /opt/ml/model/code/FILE.whl, or do without network isolation.",
    )


def _check_version(line: Line, file: RequirementsFile, image: Image | None, code: Path) -> Iterator[Finding]:
    requirement = line.requirement
    if requirement is None or requirement.url:
        return
    specifier = requirement.specifier
    there = image.packages.get(line.name, "") if image else ""
    local = re.search(r"===?\s*[^,;\s]+(\+[\w.]+)", str(specifier))
    if local and not file.has_index and not there:
        yield _at(
            line,
            "SM153",
            "error",
            f"{line.text}: PyPI has no version with {local[1]}, which marks a build from elsewhere. pip would find "
            "nothing, and the container end before it serves.",
            f"{str(requirement).replace(local[1], '')}, or a line --extra-index-url with the index that has it",
        )
    elif line.name in TORCH_FAMILY and image and there and not _allows(line, there):
        yield _at(
            line,
            "SM143",
            "warning",
            f"{line.text}, but {image} has {line.name} {there}: pip would put another one in its place, which takes "
            "minutes at every start and may not fit the image's CUDA.",
            f"Remove the line: the image brings {line.name}. Or choose the image: --framework-version",
        )
    elif (here := _installed(line.name)) and line.name not in TORCH_FAMILY:
        version = here.version.partition("+")[0]
        if not _allows(line, version):
            if not {one.top for one in imported(code)}.intersection(modules_of(line.name)):
                return  # it is pinned for something else that is installed: here it is what came with that
            yield _at(
                line,
                "SM154",
                "warning",
                f"{line.text}, but the notebook has {version}: what the model was tried with is not what would run.",
                f"{requirement.name}=={version}    # as in this notebook",
            )
        elif image:
            where = Import(line.name, REQUIREMENTS, line.number, "top")
            if f"=={version}" in str(specifier).replace(" ", ""):
                yield from conflicts(where, here, image)


def _allows(line: Line, version: str) -> bool:
    return line.requirement is None or line.requirement.specifier.contains(version, prereleases=True)


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _applies(line: Line, image: Image | None) -> bool:
    marker = line.requirement.marker if line.requirement else None
    if marker is None:
        return True
    environment = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    if image:
        environment |= {"python_version": ".".join(map(str, image.python_minor)), "python_full_version": image.python}
    return marker.evaluate(environment)


def _brings(distributions: Collection[str], module: str) -> bool:
    """Return whether one of several distributions brings a module, by their names alone: cv2 has several."""
    return any(module in modules_of(name) for name in distributions)


def _at(line: Line, code: str, severity: str, message: str, fix: str) -> Finding:
    return Finding(
        code, "error" if severity == "error" else "warning", message, fix, path=REQUIREMENTS, line=line.number
    )


def _missing(one: Import, image: Image | None) -> Finding:
    where = str(image) if image else "the image"
    when = "the model would never load" if one.kind == "top" else "this line would raise ModuleNotFoundError"
    return Finding(
        "SM141",
        "error" if one.kind == "top" else "warning",
        f"{one.top} is neither in code/, nor in {where}, nor installed here, nor in requirements.txt: {when}.",
        f"%pip install what brings {one.top}, and it is added for you; or name it in code/requirements.txt.",
        path=one.path,
        line=one.line,
    )


def _not_listed(top: str, name: str, line: str, image: Image | None) -> Finding:
    where = str(image) if image else "the image"
    return Finding(
        "SM141",
        "error",
        f"{top} is imported, and neither {where} nor your requirements.txt brings {name}: the model would never load.",
        f"{line}    # a line for code/requirements.txt",
        path=REQUIREMENTS,
    )


def _unpinned(one: Import, needed: Dependencies) -> Finding:
    name = needed.provided.get(one.top, one.top)
    return Finding(
        "SM142",
        "warning",
        f"{one.top} is not installed here, so requirements.txt asks for {name} in no particular version: the container "
        "would have whichever is the newest when it starts.",
        f"%pip install {name}",
        path=one.path,
        line=one.line,
    )
