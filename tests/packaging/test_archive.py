from __future__ import annotations

import errno
import gzip
import io
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.errors import ArchiveError, PackagingError
from sm_magics.packaging import Package
from sm_magics.packaging.archive import Member, new_archive, read_contents
from sm_magics.packaging.tar.replacing import replacing

NAMES = st.from_regex(r"[a-zé_][a-z0-9_é .-]{0,120}\.(py|txt|bin)", fullmatch=True)
# Pieces that compress and pieces that do not, longer together than one chunk.
DATA = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 3 << 20)),
    st.builds(lambda piece, count: piece * count, st.binary(min_size=1, max_size=40), st.integers(0, 60_000)),
    st.builds(
        lambda seed, zeros: random.Random(seed).randbytes(900_000) + bytes(zeros), st.integers(), st.just(2 << 20)
    ),
)


def write(target: Path, files: dict[str, bytes]) -> str:
    folder = target.parent / "files"
    folder.mkdir(exist_ok=True)
    members = []
    for number, (name, data) in enumerate(files.items()):
        (folder / str(number)).write_bytes(data)
        members.append(Member(name, folder / str(number)))
    with new_archive(target, members) as contents:
        pass
    return contents.digest


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(code=st.dictionaries(NAMES.map("code/{}".format), DATA, max_size=4), model=DATA)
def test_what_goes_in_comes_out_and_the_same_gives_the_same_digest(tmp_path, code, model):
    files = {"model.pth": model, "code/inference.py": b"", **code}
    target = tmp_path / "model.tar.gz"

    digest = write(target, files)

    assert digest == write(target, files)
    with tarfile.open(target) as tar:
        assert {entry.name: tar.extractfile(entry).read() for entry in tar} == files
    package = Package.open(target)
    assert {file.name: file.size for file in package.files} == {name: len(data) for name, data in files.items()}
    assert (package.digest, package.size) == (digest, target.stat().st_size)


def test_gnu_tar_and_gzip_read_it(tmp_path):
    files = {"model.pth": random.Random(1).randbytes(3_000_000), "code/inference.py": b"x = 1\n" * 1000}
    write(tmp_path / "model.tar.gz", files)

    subprocess.run(["gzip", "-t", tmp_path / "model.tar.gz"], check=True)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "model.tar.gz", "-C", out], check=True)

    assert {name: (out / name).read_bytes() for name in files} == files
    assert gzip.decompress((tmp_path / "model.tar.gz").read_bytes()).startswith(b"model.pth")


def test_weights_are_stored_and_code_is_deflated(tmp_path):
    weights, code = random.Random(1).randbytes(2_000_000), b"def f():\n    return 1\n" * 50_000
    write(tmp_path / "weights.tar.gz", {"model.pth": weights})
    write(tmp_path / "code.tar.gz", {"model.pth": b"", "code/inference.py": code})

    assert len(weights) < (tmp_path / "weights.tar.gz").stat().st_size < 1.01 * len(weights)
    assert (tmp_path / "code.tar.gz").stat().st_size < 0.05 * len(code)


def test_weights_that_would_compress_a_little_are_stored_and_those_that_vanish_are_deflated(tmp_path):
    generator = random.Random(1)
    a_quarter_less = bytes(byte for _ in range(1_000_000) for byte in (*generator.randbytes(3), 63))
    write(tmp_path / "weights.tar.gz", {"model.pth": a_quarter_less})
    write(tmp_path / "zeros.tar.gz", {"model.pth": bytes(4_000_000)})

    assert (tmp_path / "weights.tar.gz").stat().st_size > len(a_quarter_less)
    assert (tmp_path / "zeros.tar.gz").stat().st_size < 100_000


def test_times_owners_and_modes_of_the_files_do_not_matter(tmp_path):
    first = write(tmp_path / "a.tar.gz", {"model.pth": b"w", "code/inference.py": b"c"})
    for path in (tmp_path / "files").iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    members = [Member("model.pth", tmp_path / "files/0"), Member("code/inference.py", tmp_path / "files/1")]

    with new_archive(tmp_path / "b.tar.gz", members) as contents:
        pass

    assert contents.digest == first
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.mode) for entry in tar} == {(0, 0, 0, "", 0o644)}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_archive_and_nothing_else(tmp_path, monkeypatch, number):
    target = tmp_path / "model.tar.gz"
    write(target, {"model.pth": b"old"})
    old = target.read_bytes()

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(PackagingError, match="no space left") as caught:
        write(target, {"model.pth": b"new"})

    assert caught.value.hint.startswith("!df")
    assert target.read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "model.tar.gz"]


def test_a_file_that_the_system_does_not_let_grow_leaves_nothing(tmp_path):
    target = tmp_path / "model.tar.gz"
    (tmp_path / "weights").write_bytes(random.Random(1).randbytes(1 << 20))
    script = (
        "import os, resource, signal, sys; from pathlib import Path\n"
        "from sm_magics.packaging.archive import Member, new_archive\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from sm_magics.errors import PackagingError\n"
        "try:\n"
        f"    with new_archive(Path({str(target)!r}), [Member('model.pth', Path('weights'))]): pass\n"
        "except PackagingError as error:\n    print(error.message)\n"
    )

    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "cannot be written" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_an_interrupt_leaves_the_old_archive_and_nothing_else(tmp_path):
    target = tmp_path / "model.tar.gz"
    write(target, {"model.pth": b"old"})
    old = target.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_archive(target, [Member("model.pth", target)], interrupt):
        pass

    assert target.read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "model.tar.gz"]


KILLED = """
import os, signal, sys
from pathlib import Path
from sm_magics.packaging.tar.replacing import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_behind_is_removed_by_the_next(tmp_path):
    target = tmp_path / "model.tar.gz"
    subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    (tmp_path / f".model.tar.gz.{os.getpid()}.partial").write_bytes(b"from an earlier version, of this very process id")
    (tmp_path / ".other.tar.gz.17.partial").write_bytes(b"of another archive")
    assert len(list(tmp_path.iterdir())) == 3

    with replacing(target) as file:
        file.write(b"whole")

    assert target.read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.tar.gz.17.partial", "model.tar.gz"]


def test_two_that_write_the_same_archive_leave_each_others_work_alone(tmp_path):
    target = tmp_path / "model.tar.gz"
    with replacing(target) as first:
        first.write(b"first")
        with replacing(target) as second:
            second.write(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_where_files_cannot_be_locked_only_old_ones_are_removed(tmp_path, monkeypatch):
    def unlockable(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", unlockable)
    for age, token in ((0, "a"), (2 * 86_400, "b")):
        partial = tmp_path / f".model.tar.gz.{token}.partial"
        partial.write_bytes(b"")
        os.utime(partial, (partial.stat().st_mtime - age,) * 2)

    with replacing(tmp_path / "model.tar.gz"):
        pass

    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.tar.gz.a.partial", "model.tar.gz"]


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    done = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append(os.fstat(number).st_size), real_sync(number)))
    monkeypatch.setattr(Path, "replace", lambda *names: (done.append("replaced"), real_replace(*names))[1])
    with replacing(tmp_path / "model.tar.gz") as file:
        file.write(b"12345")
    assert done[:2] == [5, "replaced"]


def test_a_link_to_the_archive_stays_one(tmp_path):
    (tmp_path / "big_disk").mkdir()
    (tmp_path / "model.tar.gz").symlink_to("big_disk/model.tar.gz")
    with replacing(tmp_path / "model.tar.gz") as file:
        file.write(b"whole")
    assert (tmp_path / "model.tar.gz").is_symlink()
    assert (tmp_path / "big_disk/model.tar.gz").read_bytes() == b"whole"


def test_a_missing_directory_is_our_own_error(tmp_path):
    archive = new_archive(tmp_path / "nowhere/model.tar.gz", [])
    with pytest.raises(PackagingError, match="cannot be written"):
        archive.__enter__()


def tar_of(target: Path, *entries: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tuple):
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
            else:
                tar.addfile(entry)
    return target


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("model.pth", b""), ("inference.py", b"")], "inference.py, where the container does not look"),
        ([("model/model.pth", b""), ("model/code/inference.py", b"")], "model/code/inference.py"),
        ([("model/model.pth", b""), ("code/inference.py", b"")], "must be at the top"),
        ([("notes.txt", b"")], "neither a model file nor"),
        ([("model.pth", b""), ("../evil.py", b"")], "outside the model directory"),
        ([("model.pth", b""), ("/etc/evil", b"")], "outside the model directory"),
        ([("model.pth", b""), ("code/../../evil", b"")], "outside the model directory"),
        ([("model.pth", b""), link("code/inference.py", "/etc/passwd")], "a link"),
        ([("model.pth", b""), link("code/other.py", "model.pth", tarfile.LNKTYPE)], "a link"),
        ([("model.pth", b""), link("code/pipe", "", tarfile.FIFOTYPE)], "a device"),
    ],
)
def test_a_layout_that_the_container_would_not_read_is_refused(tmp_path, entries, words):
    with pytest.raises(ArchiveError, match=words) as caught:
        Package.open(tar_of(tmp_path / "model.tar.gz", *entries))
    assert caught.value.hint


def test_archives_of_others_are_opened(tmp_path):
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/net.pt").write_bytes(b"weights")
    (tmp_path / "model/code/inference.py").write_text("def model_fn(model_dir): ...\n")
    subprocess.run(["tar", "-czf", tmp_path / "my_net.tar.gz", "-C", tmp_path / "model", "."], check=True)

    package = Package.open(tmp_path / "my_net.tar.gz")

    assert {file.name for file in package.files} == {"net.pt", "code/inference.py"}
    assert package.name == "model"  # SageMaker would refuse the underscore


def test_a_model_below_the_top_is_where_the_script_says(tmp_path):
    script = b"def model_fn(model_dir): return load(model_dir + '/weights/net.pt')"
    Package.open(tar_of(tmp_path / "model.tar.gz", ("weights/net.pt", b""), ("code/inference.py", script)))


@pytest.mark.parametrize("keep", [0, 10, 2000, -9, -1])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, keep):
    write(tmp_path / "model.tar.gz", {"model.pth": random.Random(1).randbytes(5000)})
    data = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(data[:keep])

    with pytest.raises(ArchiveError, match="not a complete"):
        Package.open(tmp_path / "model.tar.gz")


def test_an_archive_with_a_flipped_bit_is_refused(tmp_path):
    write(tmp_path / "model.tar.gz", {"model.pth": random.Random(1).randbytes(5000)})
    data = bytearray((tmp_path / "model.tar.gz").read_bytes())
    data[3000] ^= 1
    (tmp_path / "model.tar.gz").write_bytes(data)

    with pytest.raises(ArchiveError, match="not a complete"):
        Package.open(tmp_path / "model.tar.gz")


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="There is no archive"):
        Package.open(tmp_path / "nothing.tar.gz")


def test_contents_hold_the_script(tmp_path):
    write(tmp_path / "model.tar.gz", {"model.pth": b"", "code/inference.py": b"x = 1\n"})
    assert read_contents(tmp_path / "model.tar.gz").script == "x = 1\n"
