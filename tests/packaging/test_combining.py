"""Somebody else's archive with new code, streamed."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
import tarfile

import pytest

from sm_magics.errors import ArchiveError, PackagingError
from sm_magics.packaging import Package, combining
from sm_magics.packaging.archive import combine, read_contents
from sm_magics.packaging.tar.tail import read_index

CODE = {"inference.py": b"def model_fn(model_dir): ...\n", "helper/names.py": b"x = 1\n"}


class Stream(io.RawIOBase):
    """Bytes that come in pieces of any size, and only forwards."""

    def __init__(self, data: bytes) -> None:
        self._data, self._random = io.BytesIO(data), random.Random(1)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._random.randint(1, 70_000)))


class Writes:
    """Somewhere that bytes can only be written to."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def archive(*entries: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for entry in entries:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def combined(data: bytes, code=CODE) -> tuple[str, bytes]:
    target = Writes()
    return combine(Stream(data), code, target), bytes(target.data)


def names(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def test_the_model_is_kept_and_the_code_replaced(tmp_path):
    weights = random.Random(1).randbytes(5_000_000)
    folder = tarfile.TarInfo("./code")
    folder.type = tarfile.DIRTYPE
    source = archive(
        ("./model.pth", weights),
        folder,
        ("./code/old.py", b"old"),
        ("code/inference.py", b"old"),
        ("./vocab.txt", b"a b"),
    )
    (tmp_path / "names.py").write_bytes(CODE["helper/names.py"])

    digest, data = combined(source, {**CODE, "helper/names.py": tmp_path / "names.py"})

    assert names(data) == {
        "model.pth": weights,
        "vocab.txt": b"a b",
        "code/helper/names.py": b"x = 1\n",
        "code/inference.py": CODE["inference.py"],
    }
    (tmp_path / "model.tar.gz").write_bytes(data)
    assert Package.open(tmp_path / "model.tar.gz").digest == digest
    subprocess.run(["tar", "-tzf", tmp_path / "model.tar.gz"], check=True, stdout=subprocess.DEVNULL)
    assert combined(source)[0] == digest


def test_what_was_combined_can_be_renewed(tmp_path):
    _, data = combined(archive(("model.pth", b"w" * 1000)))
    (tmp_path / "model.tar.gz").write_bytes(data)
    index = read_index(tmp_path / "model.tar.gz")
    assert (index.name, index.size) == ("model.pth", 1000)
    assert gzip.decompress(data[: index.length]).startswith(b"model.pth")
    digest = combined(archive(("a.bin", b""), ("model.pth", b"w")))[0]
    assert digest != read_contents(tmp_path / "model.tar.gz").digest


def test_a_program_stays_one():
    script = tarfile.TarInfo("run.sh")
    script.mode = 0o755
    _, data = combined(archive(("model.pth", b""), script))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [entry.mode for entry in tar][:2] == [0o644, 0o755]


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("../evil", b""), "outside the model directory"),
        (("/etc/evil", b""), "outside the model directory"),
        (("code/../../evil", b""), "outside the model directory"),
        (special("link", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (special("link", tarfile.LNKTYPE, "model.pth"), "a link"),
        (special("pipe", tarfile.FIFOTYPE), "a device"),
        (special("disk", tarfile.BLKTYPE), "a device"),
    ],
)
def test_entries_that_do_not_belong_there_are_refused(entry, words):
    with pytest.raises(ArchiveError, match=words) as caught:
        combined(archive(("model.pth", b""), entry))
    assert caught.value.hint


@pytest.mark.parametrize("cut", [0, 5, 1000, -9, -1])
def test_what_is_cut_off_is_refused(cut):
    data = archive(("model.pth", random.Random(1).randbytes(200_000)))
    with pytest.raises(ArchiveError, match="not a complete"):
        combined(data[:cut])


def test_a_flipped_bit_is_seen():
    data = bytearray(archive(("model.pth", random.Random(1).randbytes(200_000))))
    data[100_000] ^= 1
    with pytest.raises(ArchiveError, match="not a complete"):
        combined(bytes(data))


def test_a_bomb_is_refused_before_it_goes_off(monkeypatch):
    monkeypatch.setattr(combining, "_LET_THROUGH", 1 << 20)
    target = Writes()
    with pytest.raises(ArchiveError, match="200 times"):
        combine(Stream(archive(("model.pth", bytes(64 << 20)))), CODE, target)
    assert len(target.data) < 1 << 20


def test_names_that_fill_the_memory_are_refused():
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 200 << 20
    data = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"a" * (1 << 20), 1)
    with pytest.raises(ArchiveError, match="header"):
        combined(data)


def test_too_many_entries_are_refused(monkeypatch):
    monkeypatch.setattr(combining, "_MOST_ENTRIES", 10)
    with pytest.raises(ArchiveError, match="entries"):
        combined(archive(*((f"{number}", b"") for number in range(20))))


def test_code_that_is_not_there_is_our_own_error(tmp_path):
    with pytest.raises(PackagingError, match="cannot be read"):
        combined(archive(("model.pth", b"")), {"inference.py": tmp_path / "missing.py"})


MEMORY = """
import io, os, resource, sys
from sm_magics.packaging.archive import combine
class Out:
    def write(self, data):
        return len(data)
combine(open(sys.argv[1], "rb"), {"inference.py": b""}, Out())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
combine(open(sys.argv[2], "rb"), {"inference.py": b""}, Out())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units there")
def test_memory_does_not_grow_with_the_model(tmp_path):
    block = random.Random(1).randbytes(1 << 20)
    for name, size in (("small", 8), ("large", 200)):
        with tarfile.open(tmp_path / name, "w:gz", compresslevel=1) as tar:
            info = tarfile.TarInfo("model.pth")
            info.size = size << 20
            tar.addfile(info, io.BytesIO(block * size))
    command = [sys.executable, "-c", MEMORY, tmp_path / "small", tmp_path / "large"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(printed) < 32 * 1024  # KiB
