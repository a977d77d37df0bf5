"""What JupyterLab completes without a kernel is what the magics take."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "magics_json.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("magics_json", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_front_end_knows_the_magics_as_they_are(script):
    assert script.TARGET.read_text(encoding="utf-8") == script.text(), "python scripts/magics_json.py"


def test_each_magic_says_what_it_is_for(script):
    magics = script.magics()
    assert {"sm_deploy", "sm_inference", "sm_predict"} <= magics.keys()
    assert magics["sm_predict"]["kinds"] == ["line", "cell"]
    assert all(about["help"] and about["kinds"] for about in magics.values())
