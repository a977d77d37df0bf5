"""Objects of the notebook that the handlers use travel as files, and what cannot is refused with a way out."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from sm_magics.authoring import CodeFolder
from sm_magics.errors import InferenceScriptError, PackagingError
from sm_magics.packaging.objects import store

TOKENIZER = '''
"""A library with objects that save themselves as Hugging Face's do."""
import json
from pathlib import Path


class WordTokenizer:
    def __init__(self, words):
        self.words = words

    def save_pretrained(self, directory):
        (Path(directory) / "tokenizer.json").write_text(json.dumps(self.words))
        (Path(directory) / "more").mkdir()
        (Path(directory) / "more" / "merges.txt").write_text("a b")

    @classmethod
    def from_pretrained(cls, directory):
        assert (Path(directory) / "more" / "merges.txt").read_text() == "a b"
        return cls(json.loads((Path(directory) / "tokenizer.json").read_text()))

    def __eq__(self, other):
        return self.words == other.words
'''


def loaded(archive: Path, directory: Path, expression: str) -> Any:
    """Return an expression's value over ``sm_objects``, in a process that has nothing but the archive's code."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    code = f"import sys, json; sys.path.insert(0, 'code'); import sm_objects as o; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_objects_of_every_kind_are_loaded_as_they_were(notebook, tmp_path):
    notebook.run(
        "import numpy as np\nmodel = nn.Linear(2, 1)\narray = np.arange(6.0).reshape(2, 3).astype('float16')\n"
        "tensor = torch.arange(4)[1:3]\nplain = {'a': [1, 2.5, None, 'ü']}\npairs = {(1, 'x'): {3, 4}}\n"
        "tensors = {'mean': torch.ones(3), 'names': ['a']}\narrays = {'low': np.zeros(2)}\nword = 'hello'\n"
    )
    names = ["array", "tensor", "plain", "pairs", "tensors", "arrays", "word"]
    package = notebook.package(notebook["model"], objects=names)
    assert loaded(
        package.path,
        tmp_path / "there",
        "[str(o.array.dtype), o.array.tolist(), o.tensor.tolist(), o.plain, repr(o.pairs), o.tensors['mean'].tolist(),"
        " o.tensors['names'], o.arrays['low'].tolist(), o.word]",
    ) == [
        "float16",
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        [1, 2],
        {"a": [1, 2.5, None, "ü"]},
        "{(1, 'x'): {3, 4}}",
        [1.0, 1.0, 1.0],
        ["a"],
        [0.0, 0.0],
        "hello",
    ]
    script = (notebook.directory / "code/inference.py").read_text()
    assert f"from sm_objects import {', '.join(sorted(names))}\n" in script
    assert package.digest == notebook.package(notebook["model"], objects=names).digest


def test_what_saves_itself_as_hugging_face_objects_do(notebook, tmp_path):
    (notebook.directory / "words_of_mine.py").write_text(TOKENIZER)
    notebook.run("from words_of_mine import WordTokenizer\nimport words_of_mine\nmodel = nn.Linear(2, 1)")
    notebook.run("tokenizer = WordTokenizer(['a', 'b'])")
    package = notebook.package(notebook["model"], objects=["tokenizer"])
    names = {file.name for file in package.files}
    assert {"code/sm_objects/tokenizer/tokenizer.json", "code/sm_objects/tokenizer/more/merges.txt"} <= names
    assert "code/words_of_mine.py" in names
    assert loaded(package.path, tmp_path / "there", "o.tokenizer.words") == ["a", "b"]


def test_files_of_objects_that_no_longer_travel_are_gone(notebook):
    notebook.run("import numpy as np\nmodel = nn.Linear(2, 1)\na = np.ones(3)\nb = {'x': 1}")
    first = notebook.package(notebook["model"], objects=["a", "b"])
    assert {"code/sm_objects/a.npy", "code/sm_objects/b.json"} <= {file.name for file in first.files}
    second = notebook.package(notebook["model"], objects=["b"])
    assert "code/sm_objects/a.npy" not in {file.name for file in second.files}
    third = notebook.package(notebook["model"])
    assert not [file.name for file in third.files if "sm_objects" in file.name]
    assert "sm_objects" not in (notebook.directory / "code/inference.py").read_text()


def test_a_file_in_the_way_of_an_object_is_kept(notebook):
    notebook.run("model = nn.Linear(2, 1)\nb = {'x': 1}")
    theirs = notebook.directory / "code/sm_objects/b.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(Exception, match=r"b\.json") as caught:
        notebook.package(notebook["model"], objects=["b"])
    assert caught.value.hint
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize(
    ("made", "words", "hint"),
    [
        ("thing = nn.Linear(2, 2)", "thing, a torch.nn", "self.thing = thing"),
        ("class C: pass\nthing = C()", "only in this notebook", "without thing"),
        ("import threading\nthing = threading.Lock()", "cannot be kept in a file", "without thing"),
        ("def thing(): pass", "thing, a builtins.function", "--with-notebook-names"),
        ("thing = (i for i in 'ab')", "cannot be kept in a file", "without thing"),
        ("theng = 1", "no variable thing", "--with theng"),
    ],
)
def test_what_no_file_keeps_is_refused(notebook, made, words, hint):
    notebook.run(f"model = nn.Linear(2, 1)\n{made}")
    with pytest.raises(PackagingError, match=words) as caught:
        notebook.package(notebook["model"], objects=["thing"])
    assert hint in caught.value.hint
    assert not (notebook.directory / "code").exists()


@pytest.mark.parametrize(
    ("made", "hint"),
    [
        ("import numpy as np\nthing = np.random.rand(500)", "%sm_package model --with thing"),
        ("thing = {'a': 1}", "%%sm_inference notebook_names\nthing = {'a': 1}\n"),
        ("def thing(x):\n    return x  # as it is", "%%sm_inference notebook_names\ndef thing(x):\n    return x  # as"),
        ("thing = iter([])", "Make thing in a cell of %%sm_inference"),
    ],
)
def test_a_handler_that_uses_what_only_the_notebook_has_is_told_what_to_do(notebook, made, hint):
    notebook.run(f"model = nn.Linear(2, 1)\n{made}")
    CodeFolder(notebook.directory).write_section("def input_fn(body, content_type):\n    return thing\n")
    with pytest.raises(InferenceScriptError, match="SM111 thing is not defined") as caught:
        notebook.package(notebook["model"])
    assert hint in caught.value.hint


def test_what_a_handler_imports_from_the_objects_travels(notebook, tmp_path):
    notebook.run("model = nn.Linear(2, 1)\nTABLE = torch.arange(500)")
    source = "from sm_objects import TABLE\n\n\ndef input_fn(body, content_type):\n    return TABLE\n"
    CodeFolder(notebook.directory).write_section(source)
    package = notebook.package(notebook["model"])
    assert loaded(package.path, tmp_path / "there", "len(o.TABLE)") == 500


def test_a_tensor_that_is_a_view_does_not_bring_the_rest(tmp_path):
    files = store({"view": torch.zeros(1 << 18)[:2]}).files
    assert len(files["sm_objects/view.pt"]) < 4096


def test_a_container_of_fitted_objects_is_one_file_that_requires_their_library(notebook, tmp_path):
    pytest.importorskip("sklearn")
    notebook.run(
        "from sklearn.preprocessing import LabelEncoder\nmodel = nn.Linear(1, 1)\n"
        "encoders = {'color': LabelEncoder().fit(['r', 'g']), 'size': LabelEncoder().fit(['s', 'm'])}"
    )
    handler = "def input_fn(body, content_type):\n    return encoders['color'].transform([body])\n"
    folder = CodeFolder(notebook.directory)
    folder.write_section(handler)
    with pytest.raises(InferenceScriptError, match="encoders is not defined") as caught:
        notebook.package(notebook["model"])
    assert caught.value.hint == "%sm_package model --with encoders"
    package = notebook.package(notebook["model"], objects=["encoders"])
    assert loaded(package.path, tmp_path / "there", "o.encoders['size'].transform(['m', 's']).tolist()") == [0, 1]
    assert "\nscikit-learn==" in (notebook.directory / "code/requirements.txt").read_text()
    assert any("encoders travels as a pickle of dict: requirements.txt asks for" in note for note in package.notes)


def test_a_table_is_required_in_the_version_that_wrote_it(notebook, tmp_path):
    pandas = pytest.importorskip("pandas")  # an earlier one does not read what a later one pickled
    notebook.run("import pandas as pd\nmodel = nn.Linear(1, 1)\nstats = pd.DataFrame({'mean': [1.5]}, index=['a'])")
    CodeFolder(notebook.directory).write_section("def input_fn(body, content_type):\n    return stats\n")
    with pytest.raises(InferenceScriptError, match="stats is not defined") as caught:
        notebook.package(notebook["model"])
    assert caught.value.hint == "%sm_package model --with stats"
    package = notebook.package(notebook["model"], objects=["stats"])
    assert loaded(package.path, tmp_path / "there", "o.stats.loc['a', 'mean'].item()") == 1.5
    assert f"\npandas=={pandas.__version__}\n" in (notebook.directory / "code/requirements.txt").read_text()


def test_an_object_of_any_library_is_taken_along_if_it_can_be_pickled(notebook):
    notebook.run(
        "import ipaddress, threading\nmodel = nn.Linear(1, 1)\ntext = ipaddress.ip_address('10.0.0.1')\n"
        "lock = threading.Lock()"
    )
    folder = CodeFolder(notebook.directory)
    folder.write_section("def input_fn(body, content_type):\n    return text\n")
    with pytest.raises(InferenceScriptError, match="text is not defined") as caught:
        notebook.package(notebook["model"])
    assert caught.value.hint == "%sm_package model --with text"
    folder.write_section("def input_fn(body, content_type):\n    return lock\n")
    with pytest.raises(InferenceScriptError, match="lock is not defined") as caught:
        notebook.package(notebook["model"])
    assert "cannot be taken along" in caught.value.hint


def test_what_a_pickle_refers_to_is_told_from_the_text_in_it():
    made = store({"words": [{"__main__", "pandas"}, b"sklearn.base", complex(1, 2), range(3)]})
    assert "pandas" not in made.source
    assert "sklearn" not in made.source
