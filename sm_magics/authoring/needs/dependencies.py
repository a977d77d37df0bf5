"""What ``code/`` needs that the image does not have: requirements with the notebook's versions, and files.

A module is looked for where it would be found first: in ``code/``, in the image, beside the notebook or in an editable
install (then its files go into ``code/``), in an installed distribution (then that is a requirement).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from sm_magics.authoring.checks.imported import Import, foreign_imports, imported, is_inside
from sm_magics.authoring.findings import Finding
from sm_magics.authoring.image import Image

from .distribution_names import distribution_of
from .distributions import bringing, origin, requirements_of, said
from .local_modules import LocalModule, beside, installed_from_here

TORCH_FAMILY = frozenset({"torch", "torchvision", "torchaudio", "torchtext", "torchdata", "triton"})
"""Distributions of which each version fits one version of torch: the image's own are the ones to use."""

READS_ANY_VERSION = TORCH_FAMILY | {"joblib", "numpy"}
"""Modules that unpickle what another version of theirs has pickled. (pandas 2.2 does not read pandas 3's tables.)"""

# Modules of the standard library that a later Python no longer has, and which one (PEP 594, 632 and the release
# notes). setuptools, which the images have, stands in for distutils.
_REMOVED = {
    (3, 12): {"asynchat", "asyncore", "imp", "smtpd"},
    (3, 13): {
        "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "mailcap", "msilib", "nis", "nntplib",
        "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Dependencies:
    """What has to come with ``code/``.

    Attributes
    ----------
    requirements
        Lines of a requirements file by the normalized name of the distribution.
    files
        Contents of the files that are to lie in ``code/``, by their path below it.
    missing
        Imports of what is neither in the image nor installed here nor known by name.
    unpinned
        Imports of what is known by name, but not installed here.
    provided
        The distribution that each imported top-level module comes from, where there is one.
    findings
        What stands in the way.
    """

    requirements: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    missing: tuple[Import, ...] = ()
    unpinned: tuple[Import, ...] = ()
    provided: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def dependencies(
    code: Path,
    image: Image | None,
    *,
    files: Iterable[str] = (),
    modules: Iterable[str] = (),
    generated: Collection[str] = (),
) -> Dependencies:
    """Return what ``code/`` needs beyond an image.

    Parameters
    ----------
    code
        The folder.
    image
        What is installed there already; None where that is not known: then only torch and its kin are left out.
    files
        Files in `code` that are imported without an import statement, relative to it.
    modules
        Modules that are needed without being imported by name, such as those of a pickled object.
    generated
        Files in `code` that packaging wrote, relative to it: copies of modules that may have changed since.
    """
    work = _Work(code, image, {path.partition("/")[0].removesuffix(".py") for path in generated} - _OURS)
    work.todo = [*imported(code, files), *(Import(module, "code/inference.py", 0, "inner") for module in modules)]
    while work.todo:
        batch, work.todo = work.todo, []
        work.take([one for one in batch if work.is_new(one)])
    return Dependencies(
        dict(sorted(work.requirements.items())),
        dict(sorted(work.files.items())),
        tuple(work.missing),
        tuple(work.unpinned),
        work.provided,
        tuple(work.findings),
    )


def removed_modules(image: Image) -> frozenset[str]:
    """Return the modules of this interpreter's standard library that the image's Python no longer has."""
    gone = {module for version, modules in _REMOVED.items() if version <= image.python_minor for module in modules}
    return frozenset(gone & sys.stdlib_module_names)


def pinned(distribution: Distribution) -> str:
    """Return the requirement for a distribution in its version, without the label of a local build (``+cpu``)."""
    name = said(distribution, "Name")
    if canonicalize_name(name) in TORCH_FAMILY:
        return name
    return f"{name}=={distribution.version.partition('+')[0]}"


_PICKLED = "code/sm_objects/"  # packaging's module of pickled objects imports their classes
_OURS = {"inference", "sm_model", "sm_objects"}


class _Work:
    def __init__(self, code: Path, image: Image | None, copied: Collection[str]) -> None:
        self.code, self.image, self.copied = code, image, copied
        self.todo: list[Import] = []
        self.seen: set[str] = set()
        self.requirements: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.missing: list[Import] = []
        self.unpinned: list[Import] = []
        self.provided: dict[str, str] = {}
        self.findings: list[Finding] = []
        self.local: set[str] = set()

    def is_new(self, one: Import) -> bool:
        """Return whether a module has still to be looked for."""
        if one.module in self.seen or one.top in sys.stdlib_module_names or one.top in self.local:
            return False
        self.seen.add(one.module)
        if self.image and self.image.provides(one.top) and not self.is_exact(one):
            return False
        if self.image is None and canonicalize_name(one.top) in TORCH_FAMILY:
            return False
        return one.top not in _OURS and (one.top in self.copied or not is_inside(self.code, one.module))

    def is_exact(self, one: Import) -> bool:
        """Return whether a module is needed in this very version, because what was pickled refers to it."""
        return one.path.startswith(_PICKLED) and one.top not in READS_ANY_VERSION

    def take(self, batch: list[Import]) -> None:
        """Find out where each module comes from."""
        foreign = []
        for one in batch:
            if one.top in self.local:
                continue
            if local := beside(one.module):
                self.copy(one, local)
            elif not is_inside(self.code, one.module):
                foreign.append(one)
        found = bringing([one.module for one in foreign]) if foreign else {}
        tops = {module.partition(".")[0] for module in found}
        for one in foreign:
            if distribution := found.get(one.module):
                self.install(one, distribution)
            elif one.top not in tops:  # else a name in a module that is found under another of its names
                self.lack(one)

    def lack(self, one: Import) -> None:
        """Note a module that is not installed here: what brings it may be known by its name."""
        known = distribution_of(one.module)
        if one.kind == "optional" or known in self.requirements:
            return
        if known:
            self.unpinned.append(one)
            self.requirements[known] = known
            self.provided[one.top] = known
        elif one.top not in {other.top for other in self.missing}:
            self.missing.append(one)

    def copy(self, one: Import, local: LocalModule) -> None:
        """Take the files of a module that no index has, and look at what they import."""
        self.local.add(one.top)
        self.files |= local.files
        if local.compiled:
            self.findings.append(
                Finding(
                    "SM146",
                    "error" if one.kind == "top" else "warning",
                    f"{one.top} is installed from this machine and has a compiled part, {local.compiled[0]}: that is "
                    "not copied, and importing it would fail in the container.",
                    "Build a wheel for Linux, put it into code/, and name it in requirements.txt: "
                    "/opt/ml/model/code/NAME.whl",
                    path=one.path,
                    line=one.line,
                )
            )
        for relative, data in local.files.items():
            if relative.endswith(".py"):
                self.todo += foreign_imports(data.decode("utf-8", "replace"), f"code/{relative}")

    def install(self, one: Import, distribution: Distribution) -> None:
        """Take a requirement for a distribution, or its files if it was installed from this machine."""
        name = canonicalize_name(said(distribution, "Name"))
        self.provided[one.top] = name
        if name in self.requirements:
            return
        line, place = origin(distribution)
        if place is not None:
            self.copy(one, installed_from_here(one.module, distribution))
            return
        self.requirements[name] = line or pinned(distribution)
        if self.image:
            self.findings += conflicts(one, distribution, self.image)


def conflicts(one: Import, distribution: Distribution, image: Image) -> list[Finding]:
    """Return why a distribution, as it is installed here, does not go with an image's Python or torch."""
    found = []
    what = f"{said(distribution, 'Name')} {distribution.version}"
    python = said(distribution, "Requires-Python")
    if not _contains(python, image.python):
        found.append(
            Finding(
                "SM144",
                "error",
                f"{what} needs Python {python}, and {image} has {image.python}: pip would refuse requirements.txt, and "
                "the container would end before it serves.",
                f"%pip install a version of {said(distribution, 'Name')} that still supports Python "
                f"{'.'.join(map(str, image.python_minor))}, and package again.",
                path=one.path,
                line=one.line,
            )
        )
    for name, specifier in requirements_of(distribution):
        if name == "torch" and not _contains(specifier, image.torch):
            found.append(
                Finding(
                    "SM143",
                    "warning",
                    f"{what} needs torch{specifier}: pip would put another torch in the place of {image}'s, which "
                    "takes minutes at every start, and torchvision and its kin would no longer fit.",
                    f"%pip install a version of {said(distribution, 'Name')} that works with torch {image.torch}, "
                    "and package again.",
                    path=one.path,
                    line=one.line,
                )
            )
    return found


def _contains(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True
