"""What a package exports is what its ``__all__`` says: sorted, complete, each name importable and documented."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import get_origin

import pytest

import sm_magics

ROOT = Path(sm_magics.__file__).parent


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if path.stem != "__main__"}
EXPORTING = [name for name, path in SOURCES.items() if "\n__all__ = [" in path.read_text()]


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_says_its_idea(name):
    assert SOURCES[name].read_text().lstrip().startswith(('"""', 'r"""'))


@pytest.mark.parametrize("name", EXPORTING)
def test_exported_names_are_public_importable_and_documented(name):
    module = importlib.import_module(name)
    exported = list(module.__all__)
    assert len(exported) == len(set(exported))
    for member in exported:
        assert not member.startswith("_")
        value = getattr(module, member)
        # Python 3.10 takes an alias such as Callable[[str], None] for a class.
        is_code = (inspect.isclass(value) and get_origin(value) is None) or inspect.isroutine(value)
        assert not is_code or (value.__doc__ or "").strip(), member


@pytest.mark.parametrize("name", [name for name in EXPORTING if name != "sm_magics"])
def test_what_a_package_takes_from_its_modules_is_exported(name):
    module = importlib.import_module(name)
    members = {
        member
        for member, value in vars(module).items()
        if not member.startswith("_") and str(getattr(value, "__module__", "")).startswith(f"{name}.")
    }
    assert members <= set(module.__all__)


def test_the_package_itself_exports_what_it_promises():
    assert set(sm_magics.__all__) <= set(dir(sm_magics))
    assert sorted(sm_magics._HOMES) == list(sm_magics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sm_magics.nonsense
