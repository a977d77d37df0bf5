"""Unpacking what may come from anywhere."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from local_service import IMAGE, archive

from sm_magics.local.hosting import archive as archives
from sm_magics.local.hosting.archive import BadArchiveError, extract
from sm_magics.local.hosting.versions import Variant


def unpack(tmp_path, data: bytes):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(data)
    target = tmp_path / "model"
    target.mkdir()
    extract(path, target)
    return target


def entry(name: str, kind: bytes = tarfile.REGTYPE, **attributes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = int(kind == tarfile.REGTYPE)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    return entry(name, kind, linkname=to)


def tarred(*members: tarfile.TarInfo) -> bytes:
    """Return an archive whose files all hold one "x"."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x"))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["", ".", "./"], ids=repr)
def test_an_entry_for_the_model_directory_itself_is_passed_over(tmp_path, name):
    """``tar c .`` writes one; so does SageMaker SDK 2 when it repacks a model, where tarfile leaves nothing of "/"."""
    target = unpack(tmp_path, tarred(entry(name, tarfile.DIRTYPE), entry("model.pth")))
    assert [path.name for path in target.iterdir()] == ["model.pth"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_no_entry_but_a_folder_is_the_model_directory_itself(tmp_path, kind):
    with pytest.raises(BadArchiveError):
        unpack(tmp_path, tarred(entry(".", kind, linkname="model.pth"), entry("model.pth")))
    assert (tmp_path / "model").is_dir()


def test_files_folders_and_links_inside_are_unpacked(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("./code/inference.py", "model.pth"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("code/model.pth")
        link.type, link.linkname = tarfile.SYMTYPE, "../model.pth"
        tar.addfile(link)
    target = unpack(tmp_path, buffer.getvalue())
    assert (target / "code/inference.py").read_bytes() == b"abc"
    assert (target / "code/model.pth").read_bytes() == b"abc"


def test_more_bytes_or_entries_than_allowed_are_refused_before_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 1000)
    with pytest.raises(BadArchiveError, match="unpacks to more than 1000 bytes"):
        unpack(tmp_path, archive({"zeros": b"\0" * 1001}))
    assert not (tmp_path / "model/zeros").exists()


def test_a_bomb_is_refused_by_how_much_smaller_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_SMALL", 1 << 20)
    bomb = archive({"small": b"x", "zeros": b"\0" * (8 << 20)})
    assert len(bomb) < (8 << 20) // 200
    with pytest.raises(BadArchiveError, match="more than 200 times its size"):
        unpack(tmp_path, bomb)
    assert not (tmp_path / "model/zeros").exists()


def test_zeros_are_unpacked_as_long_as_they_are_few(tmp_path):
    assert (unpack(tmp_path, archive({"zeros": b"\0" * (8 << 20)})) / "zeros").stat().st_size == 8 << 20


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    with pytest.raises(BadArchiveError, match="more than 3 entries"):
        unpack(tmp_path, archive({str(number): b"" for number in range(4)}))


def test_a_link_and_then_a_file_through_it_does_not_lead_out(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, ".."
        tar.addfile(link)
        member = tarfile.TarInfo("out/evil.py")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BadArchiveError):
        unpack(tmp_path, buffer.getvalue())
    assert not (tmp_path / "evil.py").exists()


def test_unpacking_needs_nothing_that_an_older_tarfile_lacks(tmp_path, monkeypatch):
    # Python 3.10.0 to 3.10.11 and 3.11.0 to 3.11.3 (Debian 12 has 3.11.2) know no extraction filters.
    whole = tarfile.TarFile.extract

    def extract(self, member, path="", set_attrs=True, *, numeric_owner=False):
        whole(self, member, path, set_attrs, numeric_owner=numeric_owner)

    monkeypatch.setattr(tarfile.TarFile, "extract", extract)
    monkeypatch.delattr(tarfile, "data_filter")
    target = unpack(tmp_path, archive({"code/inference.py": "x"}))
    assert (target / "code/inference.py").read_text() == "x"


def test_modes_owners_and_times_are_not_taken_over(tmp_path):
    target = unpack(
        tmp_path,
        tarred(entry("run.sh", mode=0o4777, uid=12345, mtime=0), entry("shut", mode=0)),
    )
    assert stat.S_IMODE((target / "run.sh").stat().st_mode) == 0o700
    assert (target / "run.sh").stat().st_uid == os.getuid()
    assert (target / "run.sh").stat().st_mtime > 0
    assert (target / "shut").read_bytes() == b"x"


def test_of_two_entries_of_one_name_the_last_counts_and_a_file_is_no_folder(tmp_path):
    target = unpack(tmp_path, tarred(entry("a"), entry("b"), link("a", "b"), entry("a")))
    assert [(target / name).read_bytes() for name in "ab"] == [b"x", b"x"]
    assert not (target / "a").is_symlink()
    (tmp_path / "other").mkdir()
    for entries in ((entry("a"), entry("a/b")), (entry("a/b"), entry("a")), (link("a", "none", tarfile.LNKTYPE),)):
        with pytest.raises(BadArchiveError, match=r"'a(/b)?' does not fit the entries"):
            unpack(tmp_path / "other", tarred(*entries))
        shutil.rmtree(tmp_path / "other" / "model")


def test_links_in_a_circle_and_names_without_an_end_are_refused(tmp_path):
    circle = (link("a", "a"), entry("a/b/c"))
    for entries in (circle, (link("a", "b"), link("b", "a"), entry("a/c")), (link("a", "a"), link("a/b", "c"))):
        with pytest.raises(BadArchiveError, match=r"links that lead to themselves|does not fit the entries"):
            unpack(tmp_path, tarred(*entries))
        shutil.rmtree(tmp_path / "model")
    for long in (entry("x" * 300), entry("d/" * 2500 + "x"), link("l", "x" * 5000)):
        with pytest.raises(BadArchiveError, match="is too long a name"):
            unpack(tmp_path, tarred(long))
        shutil.rmtree(tmp_path / "model")


paths = st.lists(st.sampled_from(["a", "b", "c", ".", "..", ""]), min_size=1, max_size=5).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@given(entries=st.lists(st.tuples(paths, kinds, paths), min_size=1, max_size=7))
@example(entries=[("c", tarfile.SYMTYPE, "c"), ("c/a/a", tarfile.REGTYPE, "a")])
def test_nothing_is_ever_written_outside(entries):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a").write_bytes(b"ours")
        with contextlib.suppress(BadArchiveError):
            unpack(root, tarred(*(link(name, to, kind) if to else entry(name, kind) for name, kind, to in entries)))
        assert sorted(path.name for path in root.iterdir()) == ["a", "model", "model.tar.gz"]
        assert (root / "a").read_bytes() == b"ours"
        assert (root / "a").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        (IMAGE, "pytorch-inference"),
        ("pytorch-inference", "pytorch-inference"),
        ("localhost:5000/pytorch-inference@sha256:abc", "pytorch-inference"),
        ("1.dkr.ecr.us-west-2.amazonaws.com/huggingface-pytorch-inference:2.6", "huggingface-pytorch-inference"),
        ("team/pytorch-inference/extra:1", "extra"),
    ],
)
def test_an_image_is_known_by_its_repository(image, repository):
    assert Variant({"VariantName": "v"}, {"Image": image}).repository == repository
