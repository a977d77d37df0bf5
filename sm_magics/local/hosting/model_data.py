"""The model data of a variant: taken from S3 when its endpoint is created, then laid out as ``/opt/ml/model``.

Taking is linking: it costs no time, and from then on the objects may be deleted or written anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_magics.local.s3.objects import Object, Objects

from .archive import BadArchiveError, extract

_PAGE = 1000
_NAMES = "names"
_LONGEST_NAME = 255  # bytes of a file's or folder's name (S3ModelDataSource, AWS API reference)


class BadModelDataError(Exception):
    """Model data cannot be laid out. The message is a clause that completes a sentence."""


@dataclass(frozen=True)
class ModelData:
    """Where a container's model data lies in S3.

    Attributes
    ----------
    url
        ``s3://bucket/key``, or a prefix; empty if there is none.
    prefix
        Whether all objects are meant whose keys start so.
    compressed
        Whether it is a gzip-compressed tar archive.
    """

    url: str
    prefix: bool = False
    compressed: bool = True

    @classmethod
    def of(cls, container: Mapping[str, Any]) -> ModelData:
        """Return the model data of a container definition."""
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if source:
            return cls(source["S3Uri"], source["S3DataType"] == "S3Prefix", source["CompressionType"] == "Gzip")
        return cls(container.get("ModelDataUrl", ""))

    def exists(self, objects: Objects) -> bool:
        """Return whether S3 has it, or there is none to have."""
        return not self.url or next(self._objects(objects), None) is not None

    def take(self, objects: Objects, folder: Path) -> None:
        """Link the objects into a folder that is there and empty, numbered, beside a list of their names."""
        names = []
        for number, (name, found) in enumerate(self._objects(objects)):
            os.link(found.path, folder / str(number))
            names.append(name)
        (folder / _NAMES).write_text(json.dumps(names), encoding="ascii")

    def was_taken(self, folder: Path) -> bool:
        """Return whether `take` found anything, or there was nothing to find."""
        return not self.url or (folder / "0").exists()

    def lay_out(self, folder: Path, directory: Path) -> None:
        """Fill a model directory from a folder that `take` filled, and empty that.

        Raises
        ------
        BadModelDataError
            If that cannot be.
        OSError
            If the disk is full.
        """
        names = json.loads((folder / _NAMES).read_text(encoding="ascii"))
        if self.compressed and names:
            try:
                extract(folder / "0", directory)
            except BadArchiveError as error:
                raise BadModelDataError(str(error)) from error
        else:
            for number, name in enumerate(names):
                _copy(folder / str(number), name, directory)
        shutil.rmtree(folder)

    def _objects(self, objects: Objects) -> Iterator[tuple[str, Object]]:
        """Yield what it consists of, under the names that the files will have."""
        if not self.prefix:
            if self.url and (found := objects.find_url(self.url)):
                yield found.key.rpartition("/")[2], found
            return
        bucket, _, prefix = self.url.partition("://")[2].partition("/")
        marker = ""
        while page := objects.after(bucket, prefix, marker, _PAGE):
            for found in page:
                yield found.key.removeprefix(prefix), found
            marker = page[-1].key


def _copy(source: Path, name: str, directory: Path) -> None:
    """Copy a file to where its key says (not link: what a handler writes there must not reach S3).

    The rules for names are those of ``CompressionType`` in AWS's API reference, S3ModelDataSource.
    """
    parts = name.split("/")
    for part in parts:
        if not part.strip() or part in {".", ".."} or "\0" in part or len(part.encode()) > _LONGEST_NAME:
            raise BadModelDataError(f"{name!r} is no path of a file")
    target = directory.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BadModelDataError(f"{name!r} is both a file and a folder") from error
