"""The checksums of S3: which there are, computed on the way, and joined for an upload in parts.

"Checking object integrity in Amazon S3" (S3 user guide) has the algorithms and the two types: of the full object, and
composite, which is the checksum of the parts' checksums and their number.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anycrc

FULL, COMPOSITE = "FULL_OBJECT", "COMPOSITE"


class Sum(Protocol):
    """A checksum being computed."""

    def update(self, piece: bytes, /) -> object:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes so far."""


class _Crc:
    """A cyclic redundancy check."""

    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, piece: bytes, /) -> None:
        self._value = self._step(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


_crc32c = anycrc.Model("CRC32C").calc
_crc64nvme = anycrc.Model("CRC64-NVME").calc

#: By the name that stands in ``x-amz-checksum-…``.
ALGORITHMS: Mapping[str, Callable[[], Sum]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(_crc32c, 4),
    "crc64nvme": lambda: _Crc(_crc64nvme, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
#: What S3 computes for an object that came without a checksum.
DEFAULT = "crc64nvme"


@dataclass(frozen=True)
class Checksum:
    """What S3 remembers about an object's bytes.

    Attributes
    ----------
    algorithm
        A key of `ALGORITHMS`.
    value
        In base64; of a composite one with ``-`` and the number of parts.
    type
        `FULL` or `COMPOSITE`.
    """

    algorithm: str
    value: str
    type: str = FULL

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that tell it."""
        return [(f"x-amz-checksum-{self.algorithm}", self.value), ("x-amz-checksum-type", self.type)]

    def members(self) -> dict[str, str]:
        """Return the elements of an XML answer that tell it."""
        return {f"Checksum{self.algorithm.upper()}": self.value, "ChecksumType": self.type}


def encoded(digest: bytes) -> str:
    """Return a checksum as S3 writes it."""
    return base64.b64encode(digest).decode()


def default_type(algorithm: str) -> str:
    """Return the type of checksum that an upload in parts gets if it names none."""
    return FULL if algorithm == "crc64nvme" else COMPOSITE


def composite(algorithm: str, parts: Iterable[str]) -> Checksum:
    """Return the checksum of checksums, these in base64."""
    joined = ALGORITHMS[algorithm]()
    count = 0
    for part in parts:
        joined.update(base64.b64decode(part))
        count += 1
    return Checksum(algorithm, f"{encoded(joined.digest())}-{count}", COMPOSITE)
