"""New code beside weights that are there already: what every reader sees, at every moment."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sm_magics.errors import PackagingError
from sm_magics.packaging.archive import Member, new_archive, read_contents
from sm_magics.packaging.tar import tail
from sm_magics.packaging.tar.tail import read_index

WEIGHTS = random.Random(1).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def small_counts_as_large(monkeypatch):
    monkeypatch.setattr(tail, "LARGE", 1 << 20)


def pack(directory: Path, code: dict[str, bytes | str], *, keep: bool = False) -> str:
    (directory / "files").mkdir(exist_ok=True)
    (directory / "files/model.pth").write_bytes(WEIGHTS)
    members = [Member("model.pth", directory / "files/model.pth")]
    for number, (name, text) in enumerate(code.items()):
        path = directory / f"files/{number}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        members.append(Member(f"code/{name}", path))
    target = directory / "model.tar.gz"
    kept = None
    if keep:
        kept = read_index(target)
        assert kept is not None
        kept = kept.after(read_contents(target).digest)
    with new_archive(target, members, kept=kept) as contents:
        pass
    return contents.digest


def unpacked(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def expected(code: dict[str, str | bytes]) -> dict[str, bytes]:
    texts = {name: text if isinstance(text, bytes) else text.encode() for name, text in code.items()}
    return {"model.pth": WEIGHTS, **{f"code/{name}": text for name, text in texts.items()}}


CODES = [
    {"inference.py": "a = 1\n"},
    {"inference.py": "b = 2\n" * 900, "helper.py": "import os\n"},
    {"inference.py": "", "requirements.txt": "tqdm\n"},
    {"inference.py": random.Random(2).randbytes(20_000)},
]


def test_code_takes_the_place_of_code_without_the_weights_being_written(tmp_path):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    before = archive.stat()
    start = archive.read_bytes()[: read_index(archive).length]

    for code in [*CODES, *reversed(CODES)]:
        digest = pack(tmp_path, code, keep=True)
        assert unpacked(archive) == expected(code)
        assert digest == read_contents(archive).digest
        assert archive.read_bytes().startswith(start)
        assert (archive.stat().st_ino, archive.stat().st_size) == (before.st_ino, before.st_size)

    (tmp_path / "other").mkdir()
    assert pack(tmp_path / "other", code) == digest


def test_code_that_was_replaced_is_not_in_the_archive_any_more(tmp_path):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, {"inference.py": random.Random(3).randbytes(5000)})
    start = read_index(archive).length
    secret = archive.read_bytes()[start + 2000 : start + 2100]
    for code in CODES[:2]:
        pack(tmp_path, code, keep=True)
        assert secret not in archive.read_bytes()


def test_the_archives_that_began_with_the_same_bytes_are_known(tmp_path):
    digests = [pack(tmp_path, CODES[0]), pack(tmp_path, CODES[1], keep=True)]
    assert read_index(tmp_path / "model.tar.gz").before == (digests[0],)
    digests.append(pack(tmp_path, CODES[2], keep=True))
    assert read_index(tmp_path / "model.tar.gz").before == (digests[1], digests[0])
    for number in range(40):
        pack(tmp_path, {"inference.py": f"x = {number}"}, keep=True)
    assert len(read_index(tmp_path / "model.tar.gz").before) == 16


def test_the_same_code_again_writes_nothing(tmp_path):
    digest = pack(tmp_path, CODES[0])
    before = (tmp_path / "model.tar.gz").stat()
    assert pack(tmp_path, CODES[0], keep=True) == digest
    after = (tmp_path / "model.tar.gz").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_code_that_outgrows_its_place_is_written_beside_and_the_weights_are_copied(tmp_path):
    large = {"inference.py": random.Random(4).randbytes(100_000)}
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    start = archive.read_bytes()[: read_index(archive).length]
    for code in (large, CODES[1], {"inference.py": random.Random(5).randbytes(9 << 20)}):
        pack(tmp_path, code, keep=True)
        assert unpacked(archive) == expected(code)
        assert archive.read_bytes().startswith(start)
        read_contents(archive)


def test_a_copy_that_is_a_link_keeps_what_it_has(tmp_path):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    os.link(archive, tmp_path / "model.tar.gz.bak")
    pack(tmp_path, CODES[1], keep=True)
    assert unpacked(archive) == expected(CODES[1])
    assert unpacked(tmp_path / "model.tar.gz.bak") == expected(CODES[0])


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_gnu_tar_gzip_and_java_read_it(tmp_path, rounds):
    code = {"inference.py": "last = True\n"}
    pack(tmp_path, CODES[0])
    for other in CODES[:rounds]:
        pack(tmp_path, other, keep=True)
    pack(tmp_path, code, keep=True)
    archive = tmp_path / "model.tar.gz"

    subprocess.run(["gzip", "-t", archive], check=True)
    (tmp_path / "out").mkdir()
    said = subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / "out"], check=True, capture_output=True, text=True)
    assert said.stderr == ""
    there = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name: (tmp_path / "out" / name).read_bytes() for name in there} == expected(code)
    with gzip.open(archive) as file:
        tar = file.read()
    assert len(tar) % tarfile.RECORDSIZE == 0
    if shutil.which("java"):
        (tmp_path / "Gunzip.java").write_text(GUNZIP)
        result = subprocess.run(
            ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", tmp_path / "Gunzip.java", archive],
            check=True,
            capture_output=True,
        )
        assert result.stdout == tar


GUNZIP = """
import java.io.*; import java.util.zip.GZIPInputStream;
class Gunzip {
    public static void main(String[] names) throws IOException {
        try (InputStream in = new GZIPInputStream(new FileInputStream(names[0]))) { in.transferTo(System.out); }
        System.out.flush();
    }
}
"""

GO = """package main
import ("archive/tar"; "compress/gzip"; "fmt"; "io"; "os")
func main() {
    file, err := os.Open(os.Args[1]); if err != nil { panic(err) }
    zipped, err := gzip.NewReader(file); if err != nil { panic(err) }
    reader := tar.NewReader(zipped)
    for {
        header, err := reader.Next()
        if err == io.EOF { break }
        if err != nil { panic(err) }
        size, err := io.Copy(io.Discard, reader); if err != nil { panic(err) }
        fmt.Println(header.Name, size)
    }
    if _, err := io.Copy(io.Discard, zipped); err != nil { panic(err) }
}
"""


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")
def test_go_reads_it(tmp_path):
    pack(tmp_path, CODES[0])
    pack(tmp_path, CODES[1], keep=True)
    (tmp_path / "main.go").write_text(GO)
    said = subprocess.run(
        ["go", "run", tmp_path / "main.go", tmp_path / "model.tar.gz"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GOCACHE": str(tmp_path / "cache"), "GOFLAGS": "-mod=mod"},
    )
    assert said.stdout.split()[::2] == list(expected(CODES[1]))


# At any moment


class Crash(BaseException):
    pass


@pytest.mark.parametrize("moment", range(12))
def test_whenever_it_stops_the_archive_is_the_old_one_or_the_new_one(tmp_path, monkeypatch, moment):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    pack(tmp_path, CODES[1], keep=True)
    count = 0

    def stops(real):
        def call(*arguments, **named):
            nonlocal count
            count += 1
            if count > moment:
                if real is os_pwrite:  # a part of it was written
                    descriptor, data, position = arguments
                    real(descriptor, data[: len(data) // 2] if len(data) > 16 else b"", position)
                raise Crash
            return real(*arguments, **named)

        return call

    os_pwrite = os.pwrite
    for name in ("pwrite", "fsync", "utime"):
        monkeypatch.setattr(os, name, stops(getattr(os, name)))
    try:
        pack(tmp_path, CODES[2], keep=True)
    except Crash:
        pass
    else:
        assert moment >= count
    monkeypatch.undo()

    assert unpacked(archive) in (expected(CODES[1]), expected(CODES[2]))
    subprocess.run(["gzip", "-t", archive], check=True)
    read_contents(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "model.tar.gz"]


KILLED = """
import os, signal, sys
from pathlib import Path
from sm_magics.packaging.tar import tail
from sm_magics.packaging.archive import Member, new_archive
tail.LARGE = 1 << 20
moment, keep, directory = int(sys.argv[1]), sys.argv[2] == "keep", Path(sys.argv[3])
count = 0
def dies(real):
    def call(*arguments, **named):
        global count
        count += 1
        if count > moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call
for name in ("pwrite", "writev", "fsync", "utime"):
    setattr(os, name, dies(getattr(os, name)))
Path.replace = dies(Path.replace)
archive = directory / "model.tar.gz"
kept = tail.read_index(archive) if keep else None
members = [Member("model.pth", directory / "files/model.pth"), Member("code/inference.py", directory / "files/0")]
with new_archive(archive, members, kept=kept):
    pass
"""


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("keep", ["keep", "all"])
def test_a_process_that_is_killed_leaves_a_whole_archive(tmp_path, moment, keep):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    (tmp_path / "files/0").write_text("new = True\n")
    result = subprocess.run([sys.executable, "-c", KILLED, str(moment), keep, tmp_path], check=False)
    assert result.returncode in {0, -signal.SIGKILL}

    assert unpacked(archive) in (expected(CODES[0]), expected({"inference.py": "new = True\n"}))
    read_contents(archive)
    # What is left of it beside goes with the next.
    pack(tmp_path, CODES[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "model.tar.gz"]


def test_an_archive_that_another_process_replaced_is_left_alone(tmp_path, monkeypatch):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    opened = Path.open

    def replaced(path, *arguments, **named):
        file = opened(path, *arguments, **named)
        if path == archive and arguments[:1] == ("r+b",):
            shutil.copy(archive, tmp_path / "copy")
            (tmp_path / "copy").replace(archive)
        return file

    monkeypatch.setattr(Path, "open", replaced)
    with pytest.raises(PackagingError, match="another process"):
        pack(tmp_path, CODES[1], keep=True)
    assert unpacked(archive) == expected(CODES[0])


@pytest.mark.parametrize("cut", [1, 100, 4096, 5000])
def test_an_index_that_is_damaged_claims_nothing(tmp_path, cut):
    archive = tmp_path / "model.tar.gz"
    pack(tmp_path, CODES[0])
    archive.write_bytes(archive.read_bytes()[:-cut])
    assert read_index(archive) is None
