"""Badges: whether the files in code/ are what the cells say, as real cells of a real kernel session wrote them."""

from __future__ import annotations

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sm_magics.authoring import Author, CodeFolder

HANDLER = "%%sm_inference\ndef model_fn(model_dir):\n    return 1\n"
MODULE = "%%sm_code helpers.py\nNAMES = ['cat', 'dog']"


@pytest.fixture
def folder(jp_root_dir):
    (jp_root_dir / "dir").mkdir()
    (jp_root_dir / "dir" / "a.ipynb").write_text("{}")
    return jp_root_dir / "dir"


def write(folder, source, cell_id):
    """Run a cell, with the id that JupyterLab would send."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "sm_magics")
    session = shell.sm_magics_session
    session.model_dir = str(folder)
    type(session).author, former = lambda _self: Author("a.ipynb", "session", 1, cell_id), type(session).author
    try:
        result = shell.run_cell(source)
    finally:
        type(session).author = former
    assert result.success


async def compare(ask, *cells, notebook="dir/a.ipynb"):
    given = [{"id": f"id-{number}", "source": source} for number, source in enumerate(cells)]
    answer = await ask("cells", send={"notebook": notebook, "cells": given})
    assert answer.status == 200, answer.body
    assert [one["id"] for one in answer.body["cells"]] == [one["id"] for one in given]
    return answer.body["cells"] if len(cells) > 1 else answer.body["cells"][0]


async def test_a_cell_matches_what_it_wrote(ask, folder):
    write(folder, HANDLER, "id-0")
    write(folder, MODULE, "id-1")
    script, module = await compare(ask, HANDLER, MODULE)
    assert (script["file"], script["section"], script["state"]) == ("code/inference.py", "model_fn", "matches")
    assert script["path"] == "dir/code/inference.py"
    text = (folder / "code" / "inference.py").read_text().splitlines()
    assert text[script["line"] - 1] == "def model_fn(model_dir):"
    assert (module["file"], module["state"], module["path"]) == ("code/helpers.py", "matches", "dir/code/helpers.py")


@pytest.mark.parametrize(
    "source",
    [
        "\n\n%%sm_inference\nfrom __future__ import annotations\nimport os\ndef model_fn(model_dir):\n    return os",
        "%%sm_inference decoding --run\nimport json\n",
        "%%sm_inference -o written\ndef input_fn(body, kind):\n    return '# %% not a section'\n\n\n",
        "%%sm_inference   # a comment\ndef output_fn(x, accept):\n    return 'é'\n",
    ],
)
async def test_whatever_a_cell_looks_like_it_matches_after_it_was_run(ask, folder, source):
    write(folder, source, "id-0")
    found = await compare(ask, source)
    assert (found["state"], found["why"]) == ("matches", "")


async def test_a_cell_that_was_changed_differs(ask, folder):
    write(folder, HANDLER, "id-0")
    found = await compare(ask, HANDLER.replace("return 1", "return 2"))
    assert (found["state"], found["why"]) == ("differs", "The cell has changed since it was run.")
    found = await compare(ask, HANDLER.replace("model_fn", "predict_fn"))  # another handler, from the same cell
    assert found["state"] == "differs"


async def test_a_file_that_was_edited_differs(ask, folder):
    write(folder, HANDLER, "id-0")
    write(folder, MODULE, "id-1")
    for name in ("inference.py", "helpers.py"):
        path = folder / "code" / name
        path.write_text(path.read_text() + "EDITED = True\n")
    script, module = await compare(ask, HANDLER, MODULE)
    assert (script["state"], module["state"]) == ("differs", "differs")
    assert "was edited" in script["why"]


async def test_a_cell_that_was_not_run_has_no_file(ask, folder):
    script, module = await compare(ask, HANDLER, MODULE)
    assert (script["state"], script["section"], script["path"]) == ("absent", "model_fn", None)
    assert (module["state"], module["file"]) == ("absent", "code/helpers.py")


async def test_a_cell_may_write_elsewhere(ask, folder):
    source = HANDLER.replace("%%sm_inference", '%%sm_inference --model-dir "my model"')
    (folder / "my model").mkdir()
    write(folder / "my model", HANDLER, "id-0")
    found = await compare(ask, source)
    assert (found["state"], found["path"]) == ("matches", "dir/my model/code/inference.py")


UNKNOWN = [
    "%%sm_inference --model-dir {where}\ndef model_fn(d): pass",
    '%%sm_inference "open\nx = 1',
    "%%sm_inference\ndef model_fn(",
    "%%sm_code ../../etc/passwd\nx",
    "%%sm_code\nx",
    "%%sm_inference",
    "x = 1",
    "",
]


async def test_what_cannot_be_told_is_unknown(ask, folder):
    for found in await compare(ask, *UNKNOWN):
        assert found["state"] in {"unknown", "absent"}, found
        assert found["path"] is None
        assert found["why"]


async def test_a_line_of_the_script_comes_from_a_cell(ask, folder):
    write(folder, "%%sm_inference\nimport json\n", "other")
    write(folder, HANDLER, "id-0")
    text = (folder / "code" / "inference.py").read_text().splitlines()
    line = text.index("    return 1") + 1
    for file in ("code/inference.py", "inference.py", "/opt/ml/model/code/inference.py"):
        answer = await ask("frames", send={"notebook": "dir/a.ipynb", "frames": [{"file": file, "line": line}]})
        assert answer.body["frames"] == [
            {"file": file, "line": line, "cell": "id-0", "section": "model_fn", "cell_line": 3}
        ]
    # Edited by hand, the section is still the cell's; its lines are not.
    path = folder / "code" / "inference.py"
    path.write_text(path.read_text().replace("return 1", "return 1 + 1"))
    answer = await ask("frames", send={"notebook": "dir/a.ipynb", "frames": [{"file": "inference.py", "line": line}]})
    assert (answer.body["frames"][0]["cell"], answer.body["frames"][0]["cell_line"]) == ("id-0", None)


async def test_a_line_of_something_else_comes_from_no_cell(ask, folder):
    CodeFolder(folder).write_section("def model_fn(d): return 1\n", generated=True)
    there = [
        {"file": "code/inference.py", "line": 2},
        {"file": "code/inference.py", "line": 99},
        {"file": "code/inference.py", "line": -1},
        {"file": "code/helpers.py", "line": 1},
        {"file": "/usr/lib/python3/site-packages/x/inference.py", "line": 1},
        {"file": "", "line": 1},
    ]
    answer = await ask("frames", send={"notebook": "dir/a.ipynb", "frames": there})
    assert [(one["cell"], one["cell_line"]) for one in answer.body["frames"]] == [(None, None)] * len(there)


async def test_a_line_of_the_generated_module_comes_from_the_cell_that_has_the_class(ask, folder):
    (folder / "code").mkdir()
    (folder / "code" / "sm_model.py").write_text("import torch\n\n\nclass Net:\n    def forward(self, x):\n        1\n")
    cells = ["x = 1", "y = 2\n\nclass Net:\n    def forward(self, x):\n        1\nz = 3"]
    nodes = [{"cell_type": "code", "id": f"id-{n}", "source": source} for n, source in enumerate(cells)]
    notebook = folder / "a.ipynb"
    for content, expected in (
        (json.dumps({"cells": [{"cell_type": "markdown", "source": "z"}, *nodes]}), ("id-1", 5)),
        (json.dumps({"cells": nodes[:1]}), (None, None)),
        (json.dumps({"cells": [{}]}), (None, None)),
        ("no json", (None, None)),
    ):
        notebook.write_text(content)
        there = [{"file": "/opt/ml/model/code/sm_model.py", "line": 6}]
        answer = await ask("frames", send={"notebook": "dir/a.ipynb", "frames": there})
        assert (answer.body["frames"][0]["cell"], answer.body["frames"][0]["cell_line"]) == expected


SENSELESS = [
    {},
    {"notebook": "dir/a.ipynb"},
    {"notebook": "", "cells": [], "frames": []},
    {"notebook": "../../outside.ipynb", "cells": [], "frames": []},
    {"notebook": "a\0b", "cells": [], "frames": []},
    {"notebook": "dir/a.ipynb", "cells": [{"id": 1, "source": "x"}], "frames": [{"file": "x", "line": "1"}]},
    {"notebook": "dir/a.ipynb", "cells": [{}] * 201, "frames": [{}] * 201},
    {"notebook": "dir/a.ipynb", "cells": "x", "frames": "x"},
    {"notebook": "dir/a.ipynb", "cells": [{"id": "1", "source": "x" * (1 << 21)}], "frames": [1]},
]


async def test_what_makes_no_sense_is_refused(ask, folder):
    for body in SENSELESS:
        for route in ("cells", "frames"):
            answer = await ask(route, send=body)
            assert (answer.status, answer.error["code"]) == (400, "InvalidRequest"), (route, body)
