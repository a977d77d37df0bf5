"""Unpacking what may come from anywhere."""

from __future__ import annotations

import io
import tarfile

import pytest
from local_service import IMAGE, archive

from sm_magics.local import archive as archives
from sm_magics.local.archive import BadArchiveError, extract
from sm_magics.local.versions import Variant


def unpack(tmp_path, data: bytes):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(data)
    target = tmp_path / "model"
    target.mkdir()
    extract(path, target)
    return target


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
