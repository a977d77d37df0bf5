"""What a training job leaves: its model, its other output and its checkpoints, from its folders to S3."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from sm_magics.local.protocol.errors import invalid, unsupported
from sm_magics.local.s3.blobs import Blob, Draft
from sm_magics.local.s3.objects import Objects

from .failure import JobFailed
from .layout import Layout

#: Weights hardly compress: speed counts.
_LEVEL = 1


def model_url(request: Mapping[str, Any]) -> str:
    """Return where a job's model goes: an archive, or a prefix where it is not compressed."""
    output = request["OutputDataConfig"]
    name = "model.tar.gz" if _is_compressed(output) else "model/"
    return f"{_prefix(request)}{name}"


def check_output(request: Mapping[str, Any], objects: Objects) -> None:
    """Refuse an output path in a bucket that is not there, and a folder that is not the job's own.

    Raises
    ------
    ApiError
        ``ValidationException`` (unconfirmed wording).
    """
    for path, _ in synced_folders(request):
        if not path.startswith("/opt/ml/") or ".." in path.split("/"):
            raise unsupported(f"A LocalPath outside of /opt/ml ({path})")
    paths = [request["OutputDataConfig"]["S3OutputPath"]]
    paths += [request[member][name] for member, name in _SYNCED.values() if member in request]
    buckets = dict(objects.buckets())
    for path in paths:
        scheme, _, rest = path.partition("://")
        if scheme != "s3" or rest.partition("/")[0] not in buckets:
            raise invalid(f"There is no bucket of the output path {path} on this machine.")


async def upload(
    request: Mapping[str, Any], objects: Objects, layout: Layout, is_abandoned: Callable[[], bool]
) -> None:
    """Put the model and the other output into S3. A folder with nothing in it leaves nothing there.

    Parameters
    ----------
    is_abandoned
        Looked at while an archive is packed: when it becomes true, that ends.

    Raises
    ------
    JobFailed
        If the bucket is gone, or the disk is full.
    """
    prefix = _prefix(request)
    for folder, name in ((layout.model, "model"), (layout.output_data, "output")):
        try:
            if not folder.is_dir() or not any(folder.iterdir()):
                continue
            if _is_compressed(request["OutputDataConfig"]):
                packed = await asyncio.to_thread(_packed, objects, folder, is_abandoned)
                _put(objects, f"{prefix}{name}.tar.gz", *packed)
            else:
                part = "model/" if name == "model" else "data/"
                for path in await asyncio.to_thread(lambda folder=folder: list(_files(folder))):  # type: ignore[misc]
                    copied = await objects.blobs.copy([path])
                    _put(objects, f"{prefix}{part}{path.relative_to(folder).as_posix()}", *copied)
        except OSError as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error.strerror or error}") from error


class Synced:
    """A folder that goes to S3 while the job runs: checkpoints and TensorBoard's events.

    Parameters
    ----------
    folder
        On disk.
    url
        The prefix that it goes to.
    """

    def __init__(self, objects: Objects, folder: Path, url: str) -> None:
        self._objects = objects
        self._folder = folder
        self._url = url if url.endswith("/") else f"{url}/"
        self._seen: dict[Path, tuple[int, int]] = {}

    async def take_note(self) -> None:
        """Regard what is there now as known to S3."""
        self._seen = dict(await asyncio.to_thread(_states, self._folder))

    async def sync(self) -> None:
        """Put what has changed since the last time into S3. What was deleted stays there, as in AWS."""
        for path, state in await asyncio.to_thread(_states, self._folder):
            if self._seen.get(path) != state:
                try:
                    name = path.relative_to(self._folder).as_posix()
                    _put(self._objects, f"{self._url}{name}", *await self._objects.blobs.copy([path]))
                except (OSError, JobFailed):
                    continue  # it or the bucket is gone, or there is no room: the next time
                self._seen[path] = state


#: What is synced: the default path in the container, and where in the request the URL stands.
_SYNCED = {
    "/opt/ml/checkpoints": ("CheckpointConfig", "S3Uri"),
    "/opt/ml/output/tensorboard": ("TensorBoardOutputConfig", "S3OutputPath"),
}


def synced_folders(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the folders that are synced, as paths in the container, with their URLs."""
    for default, (member, name) in _SYNCED.items():
        if member in request:
            yield request[member].get("LocalPath") or default, request[member][name]


def _prefix(request: Mapping[str, Any]) -> str:
    path = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    return f"{path}/{request['TrainingJobName']}/output/"


def _is_compressed(output: Mapping[str, Any]) -> bool:
    return bool(output.get("CompressionType", "GZIP") == "GZIP")


def _put(objects: Objects, url: str, draft: Draft, blob: Blob) -> None:
    bucket, _, key = url.partition("://")[2].partition("/")
    try:
        if bucket not in dict(objects.buckets()):
            raise JobFailed("ClientError: Artifact upload failed:The specified bucket does not exist")
        objects.put(bucket, key, draft, blob, headers={})
    finally:
        draft.drop()


def _packed(objects: Objects, folder: Path, is_abandoned: Callable[[], bool]) -> tuple[Draft, Blob]:
    """Return a folder as a compressed archive, written and hashed in one go."""
    draft = objects.blobs.draft()
    try:
        sink = cast("BinaryIO", _Sink(draft, is_abandoned))
        with (
            gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=_LEVEL, mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w|") as tar,
        ):
            for entry in sorted(folder.iterdir()):
                tar.add(entry, entry.name, filter=_plain)
        return draft, draft.finish()
    except BaseException:
        draft.drop()
        raise


class _Sink:
    """A draft as a file that can only be written."""

    def __init__(self, draft: Draft, is_abandoned: Callable[[], bool]) -> None:
        self._draft = draft
        self._is_abandoned = is_abandoned

    def write(self, data: bytes) -> int:
        if self._is_abandoned():
            raise InterruptedError
        self._draft.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out sockets and the like, and who owns the files."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _files(folder: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(directory, name)
            with contextlib.suppress(FileNotFoundError):  # a script that runs may rename it
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _states(folder: Path) -> list[tuple[Path, tuple[int, int]]]:
    """Return all files with what tells whether they have changed."""
    found = []
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found.append((path, (status.st_mtime_ns, status.st_size)))
    return found
