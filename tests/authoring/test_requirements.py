"""What code/ imports becomes requirements in the notebook's versions, minus the image; what is local becomes files."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from sm_magics.authoring import CodeFolder, ensure_requirements
from sm_magics.authoring.checks.files import check_module
from sm_magics.authoring.checks.requirements import check_isolation
from sm_magics.authoring.image import Image, image, images_known
from sm_magics.authoring.needs.dependencies import dependencies, removed_modules
from sm_magics.authoring.needs.distributions import bringing
from sm_magics.authoring.needs.requirements_file import read_requirements

BARE = Image("2.6.0", "3.12.12", "2026-06-09", {"torch": "2.6.0"}, frozenset({"torch"}))


@pytest.fixture
def code(tmp_path):
    """Write files into code/, and return it."""

    def write(script: str, **files: str) -> Path:
        path = tmp_path / "code"
        path.mkdir(exist_ok=True)
        (path / "inference.py").write_text(script)
        for name, text in files.items():
            (path / f"{name}.py").write_text(text)
        return path

    return write


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory of installed distributions, in front of the real one."""

    class Site:
        path = tmp_path / "site-packages"

        def install(self, name: str, number: str, files: dict[str, str], metadata: str = "", **beside: str) -> None:
            about = self.path / f"{name.replace('-', '_')}-{number}.dist-info"
            about.mkdir(parents=True)
            head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{metadata}"
            (about / "METADATA").write_text(head)
            for file, text in {**{f"{about.name}/{key}": value for key, value in beside.items()}, **files}.items():
                (self.path / file).parent.mkdir(parents=True, exist_ok=True)
                (self.path / file).write_text(text)
            record = [*files, f"{about.name}/METADATA", f"{about.name}/RECORD"]
            (about / "RECORD").write_text("".join(f"{file},,\n" for file in record))
            importlib.invalidate_caches()

    made = Site()
    made.path.mkdir()
    monkeypatch.syspath_prepend(str(made.path))
    return made


def lines(code: Path, image: Image | None = BARE, **options) -> list[str]:
    return list(dependencies(code, image, **options).requirements.values())


def expect_installed(*names: str) -> None:
    there = {canonicalize_name(one.name or "") for one in distributions()}
    if missing := {canonicalize_name(name) for name in names} - there:
        pytest.skip(f"not installed: {missing}")


# What is imported


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("import yaml", ["PyYAML"]),
        ("from PIL import Image", ["pillow"]),
        ("import sklearn.preprocessing as p", ["scikit-learn"]),
        ("from google.protobuf import message", ["protobuf"]),
        ("import torch, torch.nn.functional as F", []),
        ("import os, json, asyncio", []),
        ("from . import helpers", []),
        ("import IPython.display", ["ipython"]),
        ("def f():\n    import dateutil", ["python-dateutil"]),
        ("import importlib\nimportlib.import_module('yaml')", ["PyYAML"]),
        ("try:\n    import yaml\nexcept ImportError:\n    yaml = None", ["PyYAML"]),
        ("try:\n    import no_such_thing\nexcept ImportError:\n    pass", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml", []),
        ("if __name__ == '__main__':\n    import yaml", []),
        ("def model_fn(d): ...\ndef train():\n    import yaml", []),
        ("def model_fn(d): return load(d)\ndef load(d):\n    import yaml", ["PyYAML"]),
    ],
)
def test_what_is_imported_becomes_a_requirement_in_the_version_that_is_installed(code, script, expected):
    expect_installed(*expected)
    found = lines(code(script))
    assert found == [f"{name}=={version(name).partition('+')[0]}" for name in expected]


def test_what_the_image_has_is_left_out(code):
    expect_installed("hypothesis")
    script = "import yaml, cv2, PIL, sklearn, pandas, numpy, torchvision, hypothesis\n"
    assert lines(code(script), image("2.6")) == [f"hypothesis=={version('hypothesis')}"]


def test_modules_that_the_scripts_files_import_count(code):
    expect_installed("PyYAML")
    path = code("import features", features="from more import x", more="import yaml\nx = 1", unused="import PIL")
    assert lines(path) == [f"PyYAML=={version('PyYAML')}"]


def test_modules_that_no_statement_imports_can_be_named(code):
    expect_installed("PyYAML", "scikit-learn")
    path = code("import torch", classes="import yaml")
    assert lines(path, modules=["sklearn"]) == [f"scikit-learn=={version('scikit-learn')}"]
    assert lines(path, files=["classes.py"]) == [f"PyYAML=={version('PyYAML')}"]


def test_what_is_not_installed_is_asked_for_by_its_name_where_that_is_known(code):
    needed = dependencies(code("import cv2, skimage\nimport my_own_secret_package"), BARE)
    assert list(needed.requirements.values()) == ["opencv-python", "scikit-image"]
    assert [one.module for one in needed.missing] == ["my_own_secret_package"]


def test_labels_of_local_builds_are_left_out_and_torchs_kin_is_not_pinned(code, site):
    site.install("quick", "1.2+cpu", {"quick/__init__.py": ""})
    site.install("torchaudio", "9.9.9+cpu", {"torchaudio/__init__.py": ""})
    assert lines(code("import quick, torchaudio")) == ["quick==1.2", "torchaudio"]


def test_parts_of_a_namespace_package_are_told_apart(code, site):
    site.install("acme-storage", "1.0", {"acme/cloud/storage/__init__.py": ""})
    site.install("acme-tables", "2.0", {"acme/cloud/tables.py": ""})
    assert lines(code("from acme.cloud import storage")) == ["acme-storage==1.0"]
    assert lines(code("import acme.cloud.tables")) == ["acme-tables==2.0"]


def test_a_single_module_and_a_compiled_one_are_found(code, site):
    site.install("one-file", "1.0", {"onefile.py": ""})
    site.install("native", "2.0", {"native.cpython-311-x86_64-linux-gnu.so": ""})
    assert lines(code("import onefile, native")) == ["native==2.0", "one-file==1.0"]


def test_what_came_from_a_repository_or_a_url_is_asked_for_from_there(code, site):
    vcs = '{"url": "https://example.com/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}}'
    site.install("fork", "1.0", {"fork/__init__.py": ""}, **{"direct_url.json": vcs})
    wheel = '{"url": "https://example.com/w-1.whl", "archive_info": {}}'
    site.install("wheel-of-mine", "1.0", {"wheelofmine.py": ""}, **{"direct_url.json": wheel})
    assert lines(code("import fork, wheelofmine")) == [
        "fork @ git+https://example.com/r.git@abc1",
        "wheel-of-mine @ https://example.com/w-1.whl",
    ]


def test_where_conda_built_a_package_says_nothing_about_this_machine(code, site):
    url = '{"url": "file:///home/conda/feedstock_root/build/work", "dir_info": {}}'
    site.install("fromconda", "1.0", {"fromconda.py": ""}, **{"direct_url.json": url, "INSTALLER": "conda\n"})
    assert lines(code("import fromconda")) == ["fromconda==1.0"]


def test_the_lookup_needs_no_list_of_everything(code):
    expect_installed("scikit-learn")
    assert {name: found.metadata["Name"] for name, found in bringing(["sklearn", "nowhere"]).items()} == {
        "sklearn": "scikit-learn"
    }


def test_what_was_pickled_is_needed_in_this_very_version(code):
    expect_installed("scikit-learn")
    path = code("from sm_objects import scaler\nfrom sklearn.pipeline import Pipeline")
    (path / "sm_objects").mkdir()
    (path / "sm_objects/__init__.py").write_text(
        "import joblib, numpy\nfrom sklearn.preprocessing import StandardScaler\n"
    )
    assert lines(path, image("2.6")) == [f"scikit-learn=={version('scikit-learn')}"]


# What is local becomes files


def test_what_was_installed_from_this_machine_becomes_files(code, site):
    url = '{"url": "file:///home/me/mylib", "dir_info": {}}'
    files = {"mylib/__init__.py": "import yaml\n", "mylib/words.json": "{}", "mylib/__pycache__/x.pyc": ""}
    site.install("mylib", "0.1", files, **{"direct_url.json": url})
    needed = dependencies(code("import mylib"), BARE)
    assert needed.files == {"mylib/__init__.py": b"import yaml\n", "mylib/words.json": b"{}"}
    assert list(needed.requirements) == ["pyyaml"]


def test_a_compiled_part_of_a_local_package_is_a_finding(code, site):
    url = '{"url": "file:///home/me/fast", "dir_info": {}}'
    site.install("fast", "0.1", {"fast/__init__.py": "", "fast/_c.so": "\x7f"}, **{"direct_url.json": url})
    (finding,) = dependencies(code("import fast"), BARE).findings
    assert (finding.code, finding.severity) == ("SM146", "error")


def test_modules_beside_the_notebook_become_files_and_stay_what_they_are_there(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "beside_one.py").write_text("from beside_two.parts import y\nx = y\n")
    (tmp_path / "beside_two").mkdir()  # without __init__.py: a folder of modules
    (tmp_path / "beside_two" / "parts.py").write_bytes("# coding: latin-1\ny = 'ä'\n".encode("latin-1"))
    folder = CodeFolder(tmp_path / "model")
    folder.write_section("import beside_one\n\n\ndef predict_fn(data, model):\n    return beside_one.x\n")
    assert folder.check() == ()
    ensure_requirements(folder)
    assert (folder.path / "beside_two/parts.py").read_text() == "# coding: utf-8\ny = 'ä'\n"
    (tmp_path / "beside_one.py").write_text("x = 2\n")
    ensure_requirements(folder)
    assert (folder.path / "beside_one.py").read_text() == "x = 2\n"


def test_a_module_in_code_comes_before_one_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "both_places.py").write_text("x = 1\n")
    folder = CodeFolder(tmp_path)
    folder.write_file("both_places.py", "x = 2\n")
    folder.write_section("import both_places\n")
    ensure_requirements(folder)
    assert (folder.path / "both_places.py").read_text() == "x = 2\n"


# The file


def test_the_file_is_written_anew_until_somebody_touches_it(folder):
    folder.write_section("import hypothesis\n")
    path = ensure_requirements(folder)
    assert path.read_text().splitlines()[1:] == [f"hypothesis=={version('hypothesis')}"]
    folder.write_section("import torch\n", name="imports hypothesis")
    assert ensure_requirements(folder).read_text().startswith("# Nothing")
    path.write_text("numpy<2\n")
    folder.write_section("import hypothesis\n")
    ensure_requirements(folder)
    assert path.read_text() == "numpy<2\n"


def test_a_file_of_the_users_own_is_kept_and_compared(folder):
    folder.write_file("requirements.txt", "numpy\n")
    folder.write_section("import hypothesis\n")
    assert ensure_requirements(folder).read_text() == "numpy\n"
    (finding,) = folder.check()
    assert (finding.code, finding.path) == ("SM141", "code/requirements.txt")
    assert finding.fix.startswith(f"hypothesis=={version('hypothesis')}")


# What stands in the way


def checked(folder: CodeFolder, requirements: str, script: str = "import torch\n") -> list[tuple[str, int]]:
    folder.write_section(script)
    folder.write_file("requirements.txt", requirements)
    return [(finding.code, finding.line) for finding in folder.check()]


@pytest.mark.parametrize(
    ("requirements", "found"),
    [
        ("numpy\nscikit-learn>=1.0  # for the scaler\n-r more.txt\n", ["SM152"]),
        ("two words\n", ["SM151"]),
        ("transformers = 4.40\n", ["SM151"]),
        ("-e .\n./wheels/mine.whl\n/home/me/other.whl\n", ["SM152", "SM152"]),
        ("git+https://github.com/org/repo@v1\n", []),
        ("mine @ https://example.com/mine-1.0-py3-none-any.whl\n", []),
        ("xformers==0.0.20+cu118\n", ["SM153"]),
        ("--extra-index-url https://download.pytorch.org/whl/cu118\nxformers==0.0.20+cu118\n", []),
        ("torch==1.13.1\n", ["SM143"]),
        ("torch\ntorchvision\n", []),
        ("pyyaml==5.1\n", []),  # nothing imports it: it is pinned for something else
        ("pyyaml>=5\n", []),
        ("pyyaml==5.1; python_version < '3.8'\n", []),
        ("numpy \\\n  >=1.20\n", []),
        ("# nothing\n\n", []),
        ("nltk==3.8 --hash=sha256:aa\n", []),
    ],
)
def test_lines_that_pip_would_stumble_over_are_found(folder, requirements, found):
    expect_installed("PyYAML")
    assert [code for code, _ in checked(folder, requirements)] == found


def test_a_version_that_the_model_was_not_tried_with_is_found(folder):
    expect_installed("PyYAML")
    assert [code for code, _ in checked(folder, "pyyaml==5.1\n", "import yaml\n")] == ["SM154"]


def test_what_a_listed_distribution_brings_needs_no_line(folder):
    expect_installed("pandas", "scikit-learn")
    assert checked(folder, "pandas\n", "import dateutil, pandas\n") == []
    assert checked(folder, "scikit-learn\n", "import threadpoolctl\n") == []


def test_what_is_not_installed_here_may_bring_anything(folder):
    assert checked(folder, "sentence-transformers==2.2.2\n", "import transformers\n") == []


def test_a_distribution_for_another_python_is_found(code, site):
    site.install("tooold", "1.0", {"tooold.py": ""}, "Requires-Python: <3.9\n")
    (finding,) = dependencies(code("import tooold"), BARE).findings
    assert (finding.code, finding.severity, finding.line) == ("SM144", "error", 1)


def test_a_distribution_that_needs_another_torch_is_found(code, site):
    site.install("newtorch", "1.0", {"newtorch.py": ""}, "Requires-Dist: torch>=2.9\n")
    site.install("anytorch", "1.0", {"anytorch.py": ""}, 'Requires-Dist: torch>=9; extra == "gpu"\n')
    (finding,) = dependencies(code("import newtorch, anytorch"), BARE).findings
    assert (finding.code, finding.severity) == ("SM143", "warning")


def test_modules_that_a_newer_python_no_longer_has_are_found():
    later = Image("9.0", "3.13.1", "2030-01-01", {"torch": "9.0"}, frozenset())
    here = {"asyncore", "cgi", "imp"} & sys.stdlib_module_names
    assert here <= removed_modules(later) <= sys.stdlib_module_names
    for module in here:
        found = check_module(f"import {module}\ndef f():\n    import {module}.x\n", image=later)
        assert [(one.code, one.severity) for one in found] == [("SM145", "error"), ("SM145", "warning")]
    assert not removed_modules(Image("2.0", "3.10.9", "2023-11-07", {}, frozenset()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has no newer syntax")
def test_syntax_that_is_newer_than_the_images_python_is_found():
    older = Image("2.0", "3.10.9", "2023-11-07", {}, frozenset())
    (finding,) = check_module("x = 1\ntype Pair = tuple[int, int]\n", image=older)
    assert (finding.code, finding.line) == ("SM109", 2)


def test_network_isolation_goes_with_nothing_that_an_index_has_to_give():
    assert check_isolation("# nothing\n") is None
    assert check_isolation("/opt/ml/model/code/mine-1.0-py3-none-any.whl\n") is None
    found = check_isolation("\nnumpy==2.0\n")
    assert found is not None
    assert (found.code, found.severity, found.line) == ("SM171", "error", 2)


# The table of images


def test_the_table_has_every_image_with_what_serves_in_it():
    for one in images_known().values():
        assert {"torch", "numpy", "sagemaker-pytorch-inference", "torchserve"} <= set(one.packages)
        assert all(map(one.provides, ("torch", "sklearn", "PIL", "cv2", "yaml", "pandas", "sagemaker_inference")))
        assert one.packages["torch"] == one.torch
        assert one.as_of > "2023"


@pytest.mark.parametrize(
    ("framework_version", "torch", "expected"),
    [("2.4", None, "2.4.0"), ("2.5.1", None, "2.5.1"), ("", "2.3.1+cu121", "2.3.0"), ("", "2.13.0", "2.6.0")],
)
def test_the_image_is_the_one_asked_for_else_that_of_the_notebooks_torch_else_the_newest(
    framework_version, torch, expected
):
    found = image(framework_version, torch=torch)
    assert found is not None
    assert found.torch == expected


def test_of_an_image_that_is_not_in_the_table_nothing_is_known(code):
    expect_installed("PyYAML")
    assert image("1.13") is None
    assert lines(code("import torch, yaml"), None) == [f"PyYAML=={version('PyYAML')}"]


def test_a_file_is_read_as_pip_reads_it():
    file = read_requirements("\ufeffa==1 # x\nb#c\n-i https://example.com/simple\n-e git+https://x/y\nd[e]>=1,<2\n")
    assert [(line.number, line.name) for line in file.lines] == [(1, "a"), (2, ""), (4, ""), (5, "d")]
    assert file.has_index
