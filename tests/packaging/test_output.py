"""What goes to a file reaches it whole, however little the system takes at once, and never too much of it at once."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.packaging.tar.gzipping import Output


@given(st.lists(st.binary(max_size=300), min_size=1), st.randoms(use_true_random=False))
def test_a_system_that_takes_a_part_of_each_write_gets_everything_in_order(buffers, random):
    reader, writer = os.pipe()
    real, written = os.writev, b"".join(buffers)

    def partly(descriptor: int, pieces: list[memoryview]) -> int:
        joined = b"".join(pieces)
        return real(descriptor, [joined[: random.randint(1, len(joined))]]) if joined else 0

    with pytest.MonkeyPatch.context() as patch, os.fdopen(reader, "rb") as read:
        patch.setattr(os, "writev", partly)
        with os.fdopen(writer, "wb") as file:
            output = Output(file)
            output.write(*buffers)
        assert read.read() == written
    assert output.written == len(written)


def test_no_write_is_large_enough_for_a_whole_huge_page(tmp_path, monkeypatch):
    real, sizes = os.writev, []

    def seen(descriptor: int, pieces: list[memoryview]) -> int:
        sizes.append(sum(map(len, pieces)))
        return real(descriptor, pieces)

    monkeypatch.setattr(os, "writev", seen)
    data = os.urandom(5 << 20)
    with (tmp_path / "file").open("wb") as file:
        Output(file).write(b"head", data, b"tail")

    assert max(sizes) < 2 << 20
    assert (tmp_path / "file").read_bytes() == b"head" + data + b"tail"
