"""A package while its kernel lives: times, the digest, and the cells that its code comes from."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.authoring import Author, CodeFolder
from sm_magics.display import cells, packaged
from sm_magics.display.packaged import Source
from sm_magics.packaging import Package, PackageFile
from sm_magics.packaging.report import FAILED, PASSED, Failure, Report, Step

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</pre></div>", "<script>alert(1)</script>", "&amp;", "a'b\"c"]
)
FILES = (PackageFile("model.pth", 1000, "state_dict, 14 tensors"), PackageFile("code/requirements.txt", 4))


def package(directory=Path("/nowhere"), **changes):
    values = {
        "name": "digits",
        "path": directory / "model.tar.gz",
        "digest": "0123456789abcdef" * 4,
        "size": 1234,
        "files": FILES,
        "model_dir": directory,
        "python": "3.11",
        "torch": "2.5.1",
        "saved_as": "state_dict",
        "source": "net",
    }
    return Package(**{**values, **changes})


def test_the_cells_that_wrote_the_script_are_named_if_this_session_ran_them(tmp_path):
    (tmp_path / "code").mkdir()
    folder = CodeFolder(tmp_path)
    folder.write_section(
        "def input_fn(body, content_type):\n    return body\n", author=Author("n.ipynb", "before", 2, "a")
    )
    folder.write_section("def predict_fn(data, model):\n    return data\n", author=Author("n.ipynb", "now", 3, "b"))
    found = packaged.sources(package(tmp_path), Author("n.ipynb", "now", 9, "c"))
    assert found == [Source("input_fn", ("input_fn",)), Source("predict_fn", ("predict_fn",), 3, "b")]
    by_hand = (tmp_path / "code" / "inference.py").read_text().replace("return data", "return 2")
    (tmp_path / "code" / "inference.py").write_text(by_hand)
    assert packaged.sources(package(tmp_path), Author("n.ipynb", "now", 9, "c"))[1] == Source(
        "predict_fn", ("predict_fn",)
    )
    assert packaged.sources(package(tmp_path / "other"), Author("n.ipynb", "now", 9, "c")) == []


def test_what_is_installed_beside_the_image_is_told_even_if_it_is_nothing(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.txt").write_text("# none yet\n\nnumpy==2.1\n")
    assert packaged.requirements(package(tmp_path)) == ("numpy==2.1",)
    assert packaged.requirements(package(tmp_path, files=FILES[:1])) is None
    assert packaged.requirements(package(tmp_path / "gone")) is None


def test_it_says_where_it_comes_from_and_how_long_each_step_took(read):
    proof = Report("digits", "0123", (Step("load", PASSED, "loads in a clean process", seconds=0.31),))
    written = [Source("model_fn", ("model_fn",), is_generated=True), Source("input_fn", ("input_fn",), 4, "id-4")]
    parts = packaged.package(package(), proof=proof, written=written, needed=(), notebook="a/n.ipynb", seconds=0.62)
    html = "".join(part.html for part in parts)
    for words in ("620 ms", "310 ms", "0123456789abcdef", "written by %sm_package", "2.5.1", ">nothing<", "model.pth"):
        assert words in html
    assert '<a href="n.ipynb#cell-id=id-4">cell [4]</a>' in html
    here = packaged.package(package(), written=written, notebook=cells.HERE)
    assert '<a href="#cell-id=id-4">cell [4]</a>' in "".join(part.html for part in here)


def test_a_proof_that_failed_is_shown_with_its_reason():
    failure = Failure("load", "OSError: no disk today")
    proof = Report("digits", "0123", (Step("load", FAILED, "loads in a clean process"),), failure=failure)
    html = "".join(part.html for part in packaged.package(package(), proof=proof))
    assert "proof failed · not loaded" in html
    assert "OSError: no disk today" in html


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT)
def test_nothing_becomes_markup(read_live, one, other):
    value = package(name=one, digest=other, notes=(other,), files=(PackageFile(f"{one}/{other}", 1, one),), torch=one)
    parts = packaged.package(
        value, stale=(one,), written=[Source(one, (other,), 1, other)], needed=(one, other), notebook=f"{one}.ipynb"
    )
    page = read_live(*parts)
    assert one in page.text
    assert other in page.text
