from __future__ import annotations

from pathlib import Path

from sm_magics.authoring.checks.reach import reached


def test_what_the_script_imports_in_turn_is_reached(tmp_path: Path):
    files = {
        "inference.py": "import torch\nfrom helpers import f\ndef predict_fn(data, model):\n    import pkg.deep.leaf\n",
        "helpers.py": "from tables import X\nfrom pkg import side",
        "tables.py": "X = 1",
        "pkg/__init__.py": "",
        "pkg/side.py": "from .cousin import y\nfrom . import other",
        "pkg/cousin.py": "y = 1",
        "pkg/other.py": "from ..nowhere import z",
        "pkg/deep/__init__.py": "",
        "pkg/deep/leaf.py": "from .. import up",
        "pkg/up.py": "",
        "pkg/lonely.py": "",
        "lonely.py": "import helpers",
        "broken.py": "def (",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert set(files) - reached(tmp_path) == {"pkg/lonely.py", "lonely.py", "broken.py"}


def test_without_a_script_nothing_is_reached(tmp_path: Path):
    assert reached(tmp_path) == set()
