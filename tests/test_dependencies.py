"""The direction in which the parts depend on each other, read off the import statements.

::

    magics → display, authoring, packaging, hosting
    display → values of authoring, packaging, hosting
    packaging → authoring, sdk; its proof asks serving's warm process
    hosting → packaging, sdk
    server → hosting, display; what authoring has written
    local → serving

``errors``, ``home``, ``payload``, ``progress``, ``seen`` and ``settings`` are at the bottom: any part may use them,
they use each other only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sm_magics

ROOT = Path(sm_magics.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

FOUNDATION = {"errors", "payload", "progress", "seen", "settings", "home"}
# part -> the parts it may import, besides itself
ALLOWED = {
    "": {"magics", "server", "authoring", "hosting", "packaging"} | FOUNDATION,
    "errors": set(),
    "progress": set(),
    "settings": {"errors"},
    "home": {"errors"},
    "seen": {"errors", "home"},
    "payload": {"errors"},
    "sdk": {"errors"},
    "authoring": {"errors"},
    "packaging": {"authoring", "serving", "sdk", "errors", "home", "payload", "progress"},
    "hosting": {"packaging", "sdk"} | FOUNDATION,
    "display": {"authoring", "packaging", "hosting", "progress"},
    "magics": {"display", "authoring", "packaging", "hosting", "errors", "seen", "settings", "payload", "progress"},
    "server": {"authoring", "display", "hosting"} | FOUNDATION,
    "serving": {"home", "errors"},
    "local": {"serving", "home", "errors", ""},  # "": the version
}

# distribution's top-level module -> the parts that may import it
OWNERS = {
    "IPython": {"magics"},
    "traitlets": {"magics"},
    "ipywidgets": {"display"},
    "boto3": {"hosting", "sdk"},
    "botocore": {"hosting", "sdk", "local"},
    "sagemaker": {"sdk"},
    "jupyter_server": {"server"},
    "tornado": {"server"},
    "torch": {"packaging", "serving"},
    "sagemaker_inference": {"serving"},
    "sagemaker_pytorch_serving_container": {"serving"},
    "cbor2": {"local"},
    "libcst": {"authoring", "packaging"},
    "pyflakes": {"authoring"},
}


@dataclass(frozen=True)
class Import:
    """One imported module, with whether it happens when the importing module is loaded."""

    module: str
    line: int
    eager: bool


def part_of(path: Path) -> str:
    """Return the part a file belongs to: a sub-package, a top-level module, or '' for the package itself."""
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[Import]:
    """Yield what a file imports, by absolute name; imports for typing alone are not counted."""
    package = (ROOT.name, *path.relative_to(ROOT).parts[:-1])

    def walk(node: ast.AST, *, eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                parent = package[: len(package) - child.level + 1] if child.level else ()
                base = ".".join([*parent, *([child.module] if child.module else [])])
                yield from (Import(f"{base}.{alias.name}", child.lineno, eager) for alias in child.names)
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, eager=eager and not function)

    yield from walk(ast.parse(path.read_text()), eager=True)


def part_imported(module: str) -> str | None:
    """Return the part of ours that an absolute module or member name lies in, None for others' modules."""
    names = module.split(".")
    if names[0] != ROOT.name:
        return None
    first = names[1] if len(names) > 1 else ""
    return first if (ROOT / first).is_dir() or (ROOT / f"{first}.py").is_file() else ""


def title(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_walk_sees_relative_and_deferred_imports():
    seen = {(found.module, found.eager) for found in imports(ROOT / "magics" / "deployment.py")}
    assert ("sm_magics.settings.LOCAL", True) in seen
    assert ("sm_magics.magics.parsing", True) in seen
    assert ("sm_magics.hosting.deploy", False) in seen
    assert part_imported("sm_magics.settings.LOCAL") == "settings"
    assert part_imported("sm_magics.__version__") == ""
    assert part_imported("json") is None


def test_every_part_has_a_place_in_the_design():
    assert {part_of(path) for path in SOURCES} <= set(ALLOWED)


@pytest.mark.parametrize("path", SOURCES, ids=title)
def test_a_part_imports_only_what_lies_below_it(path):
    part = part_of(path)
    wrong = {
        f"{title(path)}:{found.line} imports {found.module}"
        for found in imports(path)
        if (imported := part_imported(found.module)) is not None and imported not in ALLOWED[part] | {part}
    }
    assert not wrong


@pytest.mark.parametrize("path", SOURCES, ids=title)
def test_a_library_is_imported_only_by_the_part_that_it_is_for(path):
    part = part_of(path)
    wrong = {
        f"{title(path)}:{found.line} imports {found.module}"
        for found in imports(path)
        if part not in OWNERS.get(found.module.split(".")[0], {part})
    }
    assert not wrong


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(path) not in {"sdk", "serving"}], ids=title)
def test_only_the_seam_looks_into_the_sagemaker_sdk(path):
    # Importing by name or by find_spec counts too.
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args]
    looked_up = {
        node.args[0].value
        for node in calls
        if ast.unparse(node.func).rpartition(".")[2] in {"import_module", "find_spec", "__import__"}
        and isinstance(node.args[0], ast.Constant)
    }
    assert not {name for name in looked_up if str(name).startswith("sagemaker")}


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(path) in {"", "magics"}], ids=title)
def test_what_load_ext_imports_defers_what_is_heavy(path):
    heavy = {"torch", "boto3", "botocore", "sagemaker", "ipywidgets"}
    eager = {found.module.split(".")[0] for found in imports(path) if found.eager}
    assert not eager & heavy


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(path) == "magics"], ids=title)
def test_magics_load_the_library_only_when_they_are_called(path):
    eager = {part_imported(found.module) for found in imports(path) if found.eager}
    assert not eager & {"hosting", "packaging", "authoring", "display"}
