"""What is on disk afterwards, and what is refused, whoever wrote there before."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from sm_magics.authoring import CodeFolder, atomic, ensure_requirements
from sm_magics.authoring.ownership import digest_of
from sm_magics.errors import AuthoringError, CellSyntaxError, FileConflictError

MODEL_FN = "import torch\n\n\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth', 'cpu')\n"
PREDICT_FN = "def predict_fn(data, model):\n    return model(data)\n"


def script(folder: CodeFolder) -> Path:
    return folder.model_dir / "code" / "inference.py"


def files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_the_first_cell_makes_the_script_and_says_what_the_container_will_run(folder, cell):
    written = folder.write_section(MODEL_FN, author=cell(1))
    assert script(folder).read_text() == f"# %% model_fn\n{MODEL_FN}"
    assert (written.section, written.defined, written.replaced, written.unchanged) == (
        "model_fn",
        ("model_fn",),
        False,
        False,
    )
    assert written.handlers == dict.fromkeys(written.handlers, "") | {"model_fn": "model_fn"}
    assert written.findings == ()
    assert files(folder.model_dir) == {"code/inference.py", ".sm_magics.json"}


def test_running_a_cell_again_replaces_its_section_in_place(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    folder.write_section(MODEL_FN, author=cell(2))
    new = MODEL_FN.replace("'cpu'", "'meta'")
    written = folder.write_section(new, author=cell(2))
    assert written.replaced
    assert not written.unchanged
    assert script(folder).read_text() == f"# %% model_fn\n{new}\n# %% predict_fn\n{PREDICT_FN}"


def test_the_same_cell_again_does_not_touch_the_file(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    before = script(folder).stat()
    written = folder.write_section(MODEL_FN, author=cell(1))
    assert written.unchanged
    assert script(folder).stat().st_mtime_ns == before.st_mtime_ns
    assert script(folder).stat().st_ino == before.st_ino


def test_a_cell_that_grows_a_handler_keeps_its_section(folder, cell):
    folder.write_section("def decode(body):\n    return body\n", author=cell(1))
    written = folder.write_section(f"def decode(body):\n    return body\n\n\n{PREDICT_FN}", author=cell(1))
    assert written.section == "predict_fn"
    assert [section.name for section in folder.read_script().sections] == ["predict_fn"]


def test_a_cell_that_turns_to_something_else_leaves_what_it_wrote_as_stale(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    written = folder.write_section(PREDICT_FN, author=cell(1))
    assert [section.name for section in folder.read_script().sections] == ["model_fn", "predict_fn"]
    assert written.stale == ("model_fn",)


def test_a_name_is_taken_over_from_the_section_that_had_it(folder, cell):
    folder.write_section(
        f"LABELS = ['a']\n\n\n# About predicting.\n@staticmethod\n{PREDICT_FN}", name="old", author=cell(1)
    )
    written = folder.write_section(PREDICT_FN, author=cell(2))
    assert written.taken_over == {"predict_fn": "old"}
    assert script(folder).read_text() == f"# %% old\nLABELS = ['a']\n\n# %% predict_fn\n{PREDICT_FN}"
    # What was taken out was ours to take out: the cell that lost it runs again without being asked anything.
    assert folder.write_section("LABELS = ['b']\n", name="old", author=cell(1)).replaced


def test_a_section_that_lost_everything_goes(folder, cell):
    folder.write_section(f"import json\n\n{PREDICT_FN}", name="old", author=cell(1))
    folder.write_section(PREDICT_FN, author=cell(2))
    assert [section.name for section in folder.read_script().sections] == ["predict_fn"]


def test_a_section_keeps_imports_that_others_need(folder, cell):
    folder.write_section(f"import json\n\n{PREDICT_FN}", name="old", author=cell(1))
    folder.write_section("def output_fn(prediction, accept):\n    return json.dumps(prediction)\n", author=cell(3))
    folder.write_section(PREDICT_FN, author=cell(2))
    assert folder.read_script().section("old").source == "import json\n"


def test_names_that_a_cell_no_longer_defines_are_said(folder, cell):
    folder.write_section(f"SCALE = 2\n{PREDICT_FN}", author=cell(1))
    assert folder.write_section(PREDICT_FN, author=cell(1)).dropped == ("SCALE",)


def test_cells_that_only_import_do_not_replace_each_other(folder, cell):
    folder.write_section("import json\n", author=cell(1))
    folder.write_section("import os\nimport sys\n", author=cell(2))
    sections = ["# %% imports json\nimport json\n", "# %% imports os, sys\nimport os\nimport sys\n"]
    assert script(folder).read_text() == "\n".join(sections)
    folder.write_section("import json\nimport re\n", author=cell(1))
    assert [one.name for one in folder.read_script().sections] == ["imports json, re", "imports os, sys"]


@pytest.mark.parametrize("name", ["a" * 200, "a·b", "\u2102", "漢字"])
def test_any_identifier_can_name_a_section(folder, cell, name):
    for source in (f"{name} = 1\n", f"import json as {name}\n"):
        section = folder.write_section(source, author=cell(1), force=True).section
        assert folder.read_script().section(section).source == source
        assert folder.write_section(source, author=cell(1)).unchanged


def test_a_second_cell_that_defines_nothing_has_to_be_named(folder, cell):
    folder.write_section("print('one')\n", author=cell(1))
    with pytest.raises(AuthoringError, match="Another cell has written the section setup"):
        folder.write_section("print('two')\n", author=cell(2))
    folder.write_section("print('two')\n", author=cell(2), name="two")
    assert folder.write_section("print('one again')\n", author=cell(1)).section == "setup"
    assert [one.name for one in folder.read_script().sections] == ["setup", "two"]


def test_sections_that_were_not_run_in_this_session_are_stale(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1, session="yesterday"))
    assert folder.write_section(PREDICT_FN, author=cell(2)).stale == ("model_fn",)
    assert folder.write_section(MODEL_FN, author=cell(1)).stale == ()


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("def model_fn(model_dir:\n    pass\n", "nothing was written"),
        ("%time x = 1\n", "Magics"),
        ("!pip install torch\n", "Magics"),
        ("files = !ls\n", "Magics"),
        ("return 1\n", "nothing was written"),
        ("await model()\n", "top level"),
        ("from __future__ import braces\n", "nothing was written"),
        ("x = '\0'\n", "othing was written"),
        ("x = '\ud800'\n", "othing was written"),
    ],
)
def test_a_cell_that_does_not_parse_writes_nothing(folder, source, hint):
    with pytest.raises(CellSyntaxError) as caught:
        folder.write_section(source)
    assert hint in caught.value.hint
    assert files(folder.model_dir) == set()


def test_a_syntax_error_quotes_the_line_with_a_caret(folder):
    with pytest.raises(CellSyntaxError) as caught:
        folder.write_section("x = 1\ny = = 2\n")
    assert caught.value.message.splitlines()[0].startswith("Line 2 of the cell is not Python")
    assert caught.value.message.splitlines()[1:] == ["    y = = 2", "        ^"]


def test_a_null_byte_is_said_with_its_line(folder):
    with pytest.raises(CellSyntaxError, match="Line 2 of the cell") as caught:
        folder.write_section("x = 1\ny = '\0'\n")
    assert "\0" not in caught.value.message


@pytest.mark.parametrize("source", ["", "\n\n", "# nothing but a comment\n"])
def test_an_empty_cell_writes_nothing(folder, source):
    with pytest.raises(AuthoringError, match="no code"):
        folder.write_section(source)
    assert files(folder.model_dir) == set()


@pytest.mark.parametrize("name", ["", " ", "a\nb", "[markdown]", "x]", "a" * 81, "coding: latin-1", "-x"])
def test_a_section_needs_a_name_that_stays_one(folder, name):
    with pytest.raises(AuthoringError, match="cannot be a section's name"):
        folder.write_section(MODEL_FN, name=name)


def test_a_file_of_somebody_else_is_refused_and_with_force_kept_beside(folder, cell):
    script(folder).parent.mkdir()
    script(folder).write_text("print('mine')\n")
    with pytest.raises(FileConflictError, match="not written by sm_magics") as caught:
        folder.write_section(MODEL_FN, author=cell(1))
    assert "--model-dir DIR" in caught.value.hint
    assert "--force" in caught.value.hint
    assert script(folder).read_text() == "print('mine')\n"
    written = folder.write_section(MODEL_FN, author=cell(1), force=True)
    assert written.copy == script(folder).with_name("inference.py.bak")
    assert written.copy.read_text() == "print('mine')\n"
    assert script(folder).read_text() == f"# %% model_fn\n{MODEL_FN}"


def test_an_earlier_copy_is_never_overwritten(folder, cell):
    script(folder).parent.mkdir()
    for text in ["first\n", "second\n", "third\n"]:
        (folder.model_dir / ".sm_magics.json").unlink(missing_ok=True)
        script(folder).write_text(f"# {text}")
        folder.write_section(MODEL_FN, author=cell(1), force=True)
    kept = [path.read_text() for path in sorted(script(folder).parent.glob("*.bak*"))]
    assert kept == ["# first\n", "# second\n", "# third\n"]


def test_an_empty_file_is_in_nobodys_way(folder):
    script(folder).parent.mkdir()
    script(folder).touch()
    assert folder.write_section(MODEL_FN).section == "model_fn"


def test_another_notebooks_file_is_refused_and_with_force_kept_beside(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1, notebook="a.ipynb"))
    before = script(folder).read_text()
    with pytest.raises(FileConflictError, match=r"another notebook, a\.ipynb"):
        folder.write_section(PREDICT_FN, author=cell(2, notebook="b.ipynb"))
    assert script(folder).read_text() == before
    assert folder.write_section(PREDICT_FN, author=cell(2, notebook="")).section == "predict_fn"
    written = folder.write_section(PREDICT_FN, author=cell(2, notebook="b.ipynb"), force=True)
    assert written.copy.read_text().startswith(before)
    assert [section.name for section in folder.read_script().sections] == ["predict_fn"]


def test_the_notebook_is_known_by_its_place_beside_the_code(tmp_path, cell):
    CodeFolder(tmp_path / "a").write_section(MODEL_FN, author=cell(1, notebook=str(tmp_path / "a" / "nb.ipynb")))
    (tmp_path / "a").rename(tmp_path / "moved")
    author = cell(1, notebook=str(tmp_path / "moved" / "nb.ipynb"))
    assert CodeFolder(tmp_path / "moved").write_section(MODEL_FN, author=author).unchanged


def test_a_section_edited_by_hand_is_shown_as_a_difference_and_replaced_only_with_force(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    folder.write_section(PREDICT_FN, author=cell(2))
    by_hand = script(folder).read_text().replace("return model(data)", "return model(data).softmax(1)")
    script(folder).write_text(by_hand)
    with pytest.raises(FileConflictError) as caught:
        folder.write_section(PREDICT_FN, author=cell(2))
    assert "-    return model(data).softmax(1)\n+    return model(data)" in caught.value.message
    assert "--force" in caught.value.hint
    assert script(folder).read_text() == by_hand
    # Other cells still run, and the edit is still seen afterwards.
    folder.write_section(MODEL_FN.replace("'cpu'", "'meta'"), author=cell(1))
    assert ".softmax(1)" in script(folder).read_text()
    with pytest.raises(FileConflictError):
        folder.write_section(PREDICT_FN, author=cell(2))
    written = folder.write_section(PREDICT_FN, author=cell(2), force=True)
    assert ".softmax(1)" in written.copy.read_text()
    assert ".softmax(1)" not in script(folder).read_text()


def test_an_edit_by_hand_that_the_cell_then_makes_too_is_no_conflict(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    edited = PREDICT_FN.replace("model(data)", "model(data)[0]")
    script(folder).write_text(f"# %% predict_fn\n{edited}")
    assert folder.write_section(edited, author=cell(1)).unchanged
    assert folder.write_section(PREDICT_FN, author=cell(1)).replaced


def test_a_definition_by_hand_is_not_taken_over_without_force(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    by_hand = f"'''Ours.'''\n\n{PREDICT_FN}\n" + script(folder).read_text() + "\n# %% by hand\nSCALE = 3\n"
    script(folder).write_text(by_hand)
    for source in (PREDICT_FN, "SCALE = 4\n"):
        with pytest.raises(FileConflictError):
            folder.write_section(source, author=cell(2))
        assert script(folder).read_text() == by_hand
    written = folder.write_section("def output_fn(prediction, accept):\n    return prediction\n", author=cell(3))
    assert written.handlers["predict_fn"] == "(top of the file)"
    assert "by hand" not in written.stale
    folder.write_section("SCALE = 4\n", author=cell(2), force=True)
    folder.write_section(PREDICT_FN, author=cell(2), force=True)
    text = script(folder).read_text()
    assert text.startswith("'''Ours.'''\n")
    assert text.count("def predict_fn") == 1
    assert text.count("SCALE = ") == 1


def test_a_section_deleted_by_hand_stays_deleted_until_its_cell_runs(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    folder.write_section(PREDICT_FN, author=cell(2))
    script(folder).write_text(f"# %% predict_fn\n{PREDICT_FN}")
    folder.write_section(PREDICT_FN, author=cell(2))
    assert [section.name for section in folder.read_script().sections] == ["predict_fn"]
    folder.write_section(MODEL_FN, author=cell(1))
    assert [section.name for section in folder.read_script().sections] == ["model_fn", "predict_fn"]


def test_a_file_with_broken_text_by_hand_still_takes_cells(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    script(folder).write_text(script(folder).read_text() + "\n# %% draft\ndef half(:\n")
    written = folder.write_section(PREDICT_FN, author=cell(2))
    assert "def half(:\n" in script(folder).read_text()
    assert [(finding.code, finding.section, finding.cell_line) for finding in written.findings] == [
        ("SM101", "draft", 1)
    ]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"files": 3}', '{"files": {"code/inference.py": []}}'])
def test_a_damaged_record_costs_a_question_and_no_more(folder, cell, damage):
    folder.write_section(MODEL_FN, author=cell(1))
    (folder.model_dir / ".sm_magics.json").write_text(damage)
    with pytest.raises(FileConflictError):
        folder.write_section(MODEL_FN, author=cell(1))
    folder.write_section(MODEL_FN, author=cell(1), force=True)
    assert folder.write_section(PREDICT_FN, author=cell(2)).section == "predict_fn"


@pytest.mark.parametrize("writes", range(6))
def test_a_crash_at_any_write_loses_nothing_and_blocks_nothing(folder, cell, monkeypatch, writes):
    folder.write_section(MODEL_FN, author=cell(1))
    folder.write_section(f"SCALE = 2\n{PREDICT_FN}", name="both", author=cell(2))
    before = script(folder).read_text()
    left = [writes]

    class Crash(BaseException):
        pass

    real = Path.replace

    def dying(self, target):
        if left[0] == 0:
            raise Crash
        left[0] -= 1
        return real(self, target)

    cells = [(MODEL_FN.replace("'cpu'", "'meta'"), cell(1)), (PREDICT_FN, cell(3))]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        try:
            for source, author in cells:
                folder.write_section(source, author=author)
        except Crash:
            pass
    text = script(folder).read_text()
    compile(text, "inference.py", "exec")
    assert writes > 3 or "model_fn" in text
    assert "SCALE = 2" in text
    assert before
    # The same cells run again, by whoever comes next, without force.
    again = CodeFolder(folder.model_dir)
    for source, author in cells:
        again.write_section(source, author=author)
    assert [section.name for section in again.read_script().sections] == ["both", "model_fn", "predict_fn"]
    assert not list(folder.model_dir.rglob(".*.????????"))


def test_a_full_disk_leaves_the_old_file_and_no_partial_one(folder, cell, monkeypatch):
    folder.write_section(MODEL_FN, author=cell(1))
    before = {name: (folder.model_dir / name).read_bytes() for name in files(folder.model_dir)}

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(AuthoringError, match="No space left") as caught:
        folder.write_section(PREDICT_FN, author=cell(2))
    assert "Make room" in caught.value.hint
    assert {name: (folder.model_dir / name).read_bytes() for name in files(folder.model_dir)} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_said(folder, cell):
    folder.model_dir.chmod(0o555)
    try:
        with pytest.raises(AuthoringError) as caught:
            folder.write_section(MODEL_FN, author=cell(1))
    finally:
        folder.model_dir.chmod(0o755)
    assert "--model-dir DIR" in caught.value.hint


def test_permission_denied_is_said_with_a_way_out(folder, cell, monkeypatch):
    def denied(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(atomic.os, "open", denied)
    with pytest.raises(AuthoringError, match="Permission denied") as caught:
        folder.write_section(MODEL_FN, author=cell(1))
    assert "--model-dir DIR" in caught.value.hint


def test_a_file_where_code_should_be_a_folder_is_said(folder):
    (folder.model_dir / "code").write_text("")
    with pytest.raises(AuthoringError) as caught:
        folder.write_section(MODEL_FN)
    assert "--model-dir DIR" in caught.value.hint


def test_permission_bits_are_kept(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1))
    script(folder).chmod(0o640)
    folder.write_section(PREDICT_FN, author=cell(2))
    assert stat.S_IMODE(script(folder).stat().st_mode) == 0o640


def test_a_coding_comment_cannot_turn_the_script_into_something_else(folder):
    with pytest.raises(AuthoringError, match="encoding"):
        folder.write_section("# -*- coding: latin-1 -*-\nLABEL = 'é'\n")
    assert files(folder.model_dir) == set()


# Other files


def test_another_file_is_written_byte_for_byte(folder, cell):
    written = folder.write_file("features/scale.py", "SCALE = 'é'\r\n\r\n", author=cell(1))
    assert written.path.read_bytes() == "SCALE = 'é'\r\n\r\n".encode()
    assert (written.defined, written.replaced, written.unchanged) == (("SCALE",), False, False)
    assert folder.write_file("features/scale.py", "SCALE = 'é'\r\n\r\n", author=cell(1)).unchanged
    assert folder.write_file("features/scale.py", "SCALE = 2\n", author=cell(1)).replaced


@pytest.mark.parametrize(
    "path",
    ["", " ", ".", "./", "/etc/passwd", "../x.py", "a/../../x.py", "a/", "~/x.py", "a\0b", "code/x.py",
     "inference.py", "./inference.py", "Inference.py"],
)  # fmt: skip
def test_a_path_that_is_no_file_inside_code_is_refused(folder, path):
    with pytest.raises(AuthoringError) as caught:
        folder.write_file(path, "x = 1\n")
    assert "%%sm_" in caught.value.hint
    assert files(folder.model_dir) == set()


def test_a_symbolic_link_does_not_lead_out_of_code(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder.path.mkdir()
    (folder.path / "out").symlink_to(elsewhere)
    (folder.path / "inference.py").symlink_to(elsewhere / "inference.py")
    with pytest.raises(AuthoringError, match="symbolic link"):
        folder.write_file("out/x.py", "x = 1\n")
    with pytest.raises(AuthoringError, match="symbolic link"):
        folder.write_section(MODEL_FN)
    assert files(elsewhere) == set()


def test_another_files_owner_is_asked_too(folder, cell):
    folder.path.mkdir()
    (folder.path / "x.py").write_text("x = 0\n")
    with pytest.raises(FileConflictError):
        folder.write_file("x.py", "x = 1\n", author=cell(1))
    assert folder.write_file("x.py", "x = 1\n", author=cell(1), force=True).copy.read_text() == "x = 0\n"
    (folder.path / "x.py").write_text("x = 2\n")
    with pytest.raises(FileConflictError, match=r"(?s)-x = 2\n\+x = 3"):
        folder.write_file("x.py", "x = 3\n", author=cell(1))


@pytest.mark.parametrize("name", ["inference.py", "x.py"])
def test_what_a_link_points_to_is_kept_by_force(folder, cell, name):
    folder.path.mkdir()
    (folder.path / "mine.py").write_text("PRECIOUS = 1\n")
    (folder.path / name).symlink_to("mine.py")
    for source in ("x = 1\n", "x = 2\n"):
        if name == "inference.py":
            written = folder.write_section(source, author=cell(1), force=True)
        else:
            written = folder.write_file(name, source, author=cell(1), force=True)
    assert written.copy is None, "the second time it is ours"
    assert (folder.path / f"{name}.bak").read_text() == "PRECIOUS = 1\n"
    assert (folder.path / name).is_symlink()
    assert "x = 2" in (folder.path / "mine.py").read_text()


def test_a_copy_that_is_only_a_link_is_no_copy(folder, cell):
    folder.path.mkdir()
    (folder.path / "x.py").write_text("PRECIOUS = 1\n")
    (folder.path / "x.py.bak").symlink_to("x.py")
    copy = folder.write_file("x.py", "x = 1\n", author=cell(1), force=True).copy
    assert copy == folder.path / "x.py.bak.1"
    assert copy.read_text() == "PRECIOUS = 1\n"


def test_a_python_file_that_does_not_parse_is_not_written(folder):
    with pytest.raises(CellSyntaxError, match=r"code/x\.py"):
        folder.write_file("x.py", "x = = 1\n")
    assert files(folder.model_dir) == set()
    assert folder.write_file("requirements.txt", "x = = 1\n").path.exists()


def test_requirements_are_there_and_the_users_own_are_kept(folder):
    path = ensure_requirements(folder)
    assert [line for line in path.read_text().splitlines() if not line.startswith("#")] == []
    assert folder.write_file("requirements.txt", "scipy\n").replaced
    assert ensure_requirements(folder).read_text() == "scipy\n"


def test_a_file_of_another_notebook_that_is_not_there_is_begun_anew(folder, cell):
    folder.write_section(MODEL_FN, author=cell(1, notebook="a.ipynb"))
    script(folder).unlink()
    written = folder.write_section(PREDICT_FN, author=cell(2, notebook="b.ipynb"))
    assert (written.copy, written.stale) == (None, ())
    assert [section.name for section in folder.read_script().sections] == ["predict_fn"]


def test_a_notebook_that_was_renamed_goes_on_with_its_file(folder, cell, tmp_path):
    old, new = tmp_path / "Untitled.ipynb", tmp_path / "digits.ipynb"
    old.touch()
    folder.write_section(MODEL_FN, author=cell(1, notebook=str(old)))
    new.touch()
    with pytest.raises(FileConflictError, match=r"another notebook, .*Untitled\.ipynb"):
        folder.write_section(PREDICT_FN, author=cell(2, notebook=str(new)))
    old.unlink()
    folder.write_section(PREDICT_FN, author=cell(2, notebook=str(new)))
    assert [section.name for section in folder.read_script().sections] == ["model_fn", "predict_fn"]
    old.touch()
    with pytest.raises(FileConflictError, match=r"another notebook, .*digits\.ipynb"):
        folder.write_section(PREDICT_FN, author=cell(3, notebook=str(old)))


def test_the_package_files_follow_the_same_rule(folder, cell):
    weights = folder.model_dir / "model.pth"
    assert folder.check_may_replace(weights, author=cell(1)) is None

    def save(data: bytes) -> None:
        new = weights.with_name("new")
        new.write_bytes(data)
        folder.claim(weights, author=cell(1), digest=digest_of(new))
        new.replace(weights)

    save(b"one")
    save(b"two")
    assert folder.check_may_replace(weights, author=cell(1)) is None
    with pytest.raises(FileConflictError, match="another notebook"):
        folder.check_may_replace(weights, author=cell(1, notebook="other.ipynb"))
    weights.write_bytes(b"theirs")
    with pytest.raises(FileConflictError, match="has changed"):
        folder.check_may_replace(weights, author=cell(1))
    copy = folder.check_may_replace(weights, author=cell(1), force=True)
    assert copy.read_bytes() == b"theirs"
    # Claiming the same file after that makes no second copy.
    assert folder.claim(weights, author=cell(1), digest="0" * 64, force=True) == copy


def test_a_claim_before_a_crash_does_not_make_the_old_file_a_strangers(folder, cell):
    weights = folder.model_dir / "model.pth"
    weights.write_bytes(b"one")
    folder.claim(weights, author=cell(1), digest=digest_of(weights))
    folder.claim(weights, author=cell(1), digest="0" * 64)
    folder.claim(weights, author=cell(1), digest="1" * 64)
    assert folder.check_may_replace(weights, author=cell(1)) is None


def test_a_file_elsewhere_is_known_by_where_it_lies(folder, cell, tmp_path_factory):
    archive = tmp_path_factory.mktemp("out") / "model.tar.gz"
    archive.write_bytes(b"theirs")
    with pytest.raises(FileConflictError):
        folder.check_may_replace(archive, author=cell(1))
    archive.unlink()
    folder.claim(archive, author=cell(1), digest=digest_of(script_of(archive)))
    assert folder.check_may_replace(archive, author=cell(1)) is None
    assert str(archive) in json.loads((folder.model_dir / ".sm_magics.json").read_text())["files"]


def script_of(path: Path) -> Path:
    path.write_bytes(b"ours")
    return path
