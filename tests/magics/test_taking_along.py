"""What the handlers use of the notebook is taken along by the options of the magics."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_names_of_the_notebook_go_into_the_script(notebook):
    notebook.succeed("LABELS = ['cat', 'dog']\ndef clean(s):\n    return s.strip()  # spaces\n")
    notebook.succeed(
        "%%sm_inference --with-notebook-names\n"
        "def input_fn(body, content_type):\n    return LABELS.index(clean(body))\n"
    )
    script = Path("code/inference.py").read_text()
    assert "LABELS = ['cat', 'dog']\n" in script
    assert "    return s.strip()  # spaces\n" in script
    assert "SM111" not in notebook.text
    assert "From the notebook, in section notebook_names: LABELS, clean as source.\n" in f"{notebook.text}\n"


def test_what_was_taken_is_said_with_what_it_needs_and_what_travels_as_files(notebook):
    pytest.importorskip("torch")
    notebook.succeed("import json, math, torch\nimport numpy as np\nbig = np.random.rand(500)\nSIZE = math.tau")
    notebook.succeed(
        "%%sm_inference --with-notebook-names\ndef input_fn(b, c):\n    return json.loads(b) * SIZE + big\n"
    )
    assert "as source; the imports of json, math; big as a file in the package." in notebook.text
    assert "SIZE" in notebook.text
    notebook.succeed("%%sm_inference --with-notebook-names\ndef input_fn(b, c):\n    return b\n")
    assert "The handlers use nothing of the notebook." in notebook.text
    notebook.succeed("%%sm_inference\ndef input_fn(b, c):\n    return b\n")
    assert "notebook." not in notebook.text


def test_variables_go_with_the_model(notebook):
    pytest.importorskip("torch")
    notebook.succeed(
        "import numpy as np\nfrom torch import nn\nscaler = np.random.rand(300)\nnet = nn.Linear(2, 1)\nother = 3"
    )
    notebook.succeed("%%sm_inference\ndef input_fn(body, content_type):\n    return scaler\n")
    assert "%sm_package net --with scaler" in notebook.text
    error = notebook.raised("%sm_package net")
    assert "--with scaler" in str(error)
    notebook.succeed("%sm_package net --with scaler,other")
    assert "from sm_objects import other, scaler\n" in Path("code/inference.py").read_text()
    assert Path("code/sm_objects/scaler.npy").is_file()


def test_strings_of_numpy_are_taken_as_the_strings_they_are(notebook):
    pytest.importorskip("torch")
    notebook.succeed("import numpy as np, torch\nNAMES = []\nNAMES.extend(np.array(['setosa', 'virginica']))")
    notebook.succeed("%%sm_inference --with-notebook-names\ndef output_fn(p, a):\n    return NAMES[int(p)]\n")
    assert "SM111" not in notebook.text
    assert 'NAMES = ["setosa", "virginica"]\n' in Path("code/inference.py").read_text()
