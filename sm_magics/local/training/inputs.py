"""What a training job is given: its channels' data and its source code, from S3 to its folders.

Objects are copied, never linked: a script may write into its input files. ``FastFile`` channels are copied too, which
looks the same to the script.

Whose code runs? All buckets of this machine belong to its one account, and only who holds its key can put something
there. So somebody else's code is what a job names but nobody has put here: a source directory in a bucket that this
machine does not have is refused when the job is created. A client that copies code here from another account says so
in the object's metadata (``x-amz-meta-sm-magics-account: 123456789012``); such a source directory, or such files in
the channels that SDK 3 sends code in, run only if the job's environment allows that account, by
``SM_MAGICS_ALLOW_CODE_FROM=123456789012``. What stands in the Python
environment, or what the code itself downloads, is not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sm_magics.local.hosting.archive import BadArchiveError, extract
from sm_magics.local.protocol.errors import invalid, unsupported
from sm_magics.local.s3.objects import Object, Objects

from .contract import Program
from .failure import JobFailed
from .layout import Layout
from .refusals import no_input_data

#: Container environment: the accounts, separated by commas, whose code may run. Never sent to AWS.
ALLOW_CODE = "SM_MAGICS_ALLOW_CODE_FROM"
_OWNER = "x-amz-meta-sm-magics-account"
#: The channel in which SDK 3's ModelTrainer sends AWS's own scripts.
_DRIVERS = "sm_drivers"
#: Those in which it sends code (``sagemaker/train/constants.py``).
_CODE_CHANNELS = ("code", _DRIVERS)
_PAGE = 1000
#: Bytes of a manifest (its keys have 1,024 at most).
_LARGEST_MANIFEST = 256 << 20


def check_channels(request: Mapping[str, Any], objects: Objects, region: str) -> None:
    """Refuse input channels that this machine does not have, or whose data is not there.

    Raises
    ------
    ApiError
        ``ValidationException``.
    """
    channels = request.get("InputDataConfig", [])
    if len({channel["ChannelName"] for channel in channels}) < len(channels):
        raise invalid("Channel names must be unique within a training job.")
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource")
        if not source:
            raise unsupported("A channel with another data source than S3DataSource")
        mode = channel.get("InputMode", request["AlgorithmSpecification"]["TrainingInputMode"])
        if mode == "Pipe":
            raise unsupported("TrainingInputMode Pipe")
        if source["S3DataType"] not in {"S3Prefix", "ManifestFile"}:
            raise unsupported(f"S3DataType {source['S3DataType']}")
        if channel.get("RecordWrapperType", "None") != "None":
            raise unsupported(f"RecordWrapperType {channel['RecordWrapperType']}")
        if channel.get("CompressionType", "None") != "None":
            # The API reference says so; the wording is unconfirmed.
            raise invalid("CompressionType is used only in Pipe input mode.")
        url = source["S3Uri"]
        bucket, _, prefix = url.partition("://")[2].partition("/")
        if not objects.after(bucket, prefix, "", 1):
            raise no_input_data(url, region=region, role=request["RoleArn"])


def check_code(program: Program, environ: Mapping[str, str], objects: Objects, account: str) -> None:
    """Refuse a source directory that is somebody else's, or not there.

    Raises
    ------
    ApiError
        ``ValidationException``.
    """
    if not program.source.startswith("s3://"):
        return
    bucket = program.source.removeprefix("s3://").partition("/")[0]
    if bucket not in dict(objects.buckets()):
        raise invalid(
            f"The source directory {program.source} is in somebody else's bucket: account {account} of this machine "
            f"has no bucket {bucket}. Code from there does not run here. Look at it, put it into a bucket of this "
            "machine, and name that."
        )
    found = objects.find_url(program.source)
    if found is None:
        raise invalid(f"There is no source directory at {program.source}.")
    _require_allowed(f"The source directory {program.source}", found, environ, account)


def check_code_channels(request: Mapping[str, Any], objects: Objects, account: str) -> None:
    """Refuse somebody else's files in a channel of code.

    Raises
    ------
    ApiError
        ``ValidationException``.
    """
    environ = request.get("Environment", {})
    for channel in request.get("InputDataConfig", []):
        if channel["ChannelName"] not in _CODE_CHANNELS:
            continue
        bucket, _, prefix = channel["DataSource"]["S3DataSource"]["S3Uri"].partition("://")[2].partition("/")
        marker = ""
        while page := objects.after(bucket, prefix, marker, _PAGE):
            marker = page[-1].key
            for found in page:
                _require_allowed(f"s3://{bucket}/{found.key}", found, environ, account)


def _require_allowed(what: str, found: Object, environ: Mapping[str, str], account: str) -> None:
    owner = found.headers.get(_OWNER, account)
    allowed = {part.strip() for part in environ.get(ALLOW_CODE, "").split(",")}
    if owner != account and owner not in allowed:
        raise invalid(
            f"{what} was copied from account {owner}. To run somebody else's code on this machine, look at it first, "
            f"then put {ALLOW_CODE}={owner} into the job's Environment."
        )


async def download_channel(
    channel: Mapping[str, Any], objects: Objects, layout: Layout, is_over: Callable[[], bool]
) -> None:
    """Copy a channel's objects into its folder, or a part of them if the job is over.

    Raises
    ------
    JobFailed
        If an object is gone, its name leads out of the folder, or there is no room.
    """
    source = channel["DataSource"]["S3DataSource"]
    url = source["S3Uri"]
    folder = layout.data / channel["ChannelName"]
    folder.mkdir(mode=0o700, exist_ok=True)
    if source["S3DataType"] == "ManifestFile":
        found = await _listed(objects, url)
    else:
        found = await _under(objects, url)
    await asyncio.to_thread(_copy, found, folder, is_over)
    if channel["ChannelName"] == _DRIVERS:
        await asyncio.to_thread(layout.rewrite, folder)


async def download_code(program: Program, objects: Objects, layout: Layout) -> None:
    """Unpack the source directory.

    Raises
    ------
    JobFailed
        If it is gone, no archive that may be unpacked, or has no entry point.
    """
    if program.source.startswith("s3://"):
        found = objects.find_url(program.source)
        archive = found.path if found else None
    else:
        archive = layout.path(program.source) if program.source else None
    if archive is None:
        raise JobFailed(
            f"ClientError: There is no source directory at {program.source or 'sagemaker_submit_directory'}."
        )
    if archive.is_dir():
        await asyncio.to_thread(shutil.copytree, archive, layout.code, dirs_exist_ok=True)
    else:
        try:
            await asyncio.to_thread(extract, archive, layout.code)
        except BadArchiveError as error:
            raise JobFailed(f"ClientError: {program.source} cannot be unpacked: {error}.") from error
        except OSError as error:
            raise _no_room(error) from error
    entry = layout.code / program.entry_point
    if ".." in PurePosixPath(program.entry_point).parts or not (entry.exists() or entry.with_suffix("").is_dir()):
        raise JobFailed(f"ClientError: {program.source} has no {program.entry_point or 'entry point'}.")


async def download_checkpoints(url: str, objects: Objects, folder: Path, is_over: Callable[[], bool]) -> None:
    """Copy what an earlier job has saved to where this one looks for it."""
    found = await _under(objects, url if url.endswith("/") else f"{url}/")
    await asyncio.to_thread(_copy, found, folder, is_over)


async def _under(objects: Objects, url: str) -> list[tuple[str, Object]]:
    """Return the objects whose keys begin like an URL, with where they go; not those that stand for a folder."""
    bucket, _, prefix = url.partition("://")[2].partition("/")
    found: list[tuple[str, Object]] = []
    marker = ""
    while page := objects.after(bucket, prefix, marker, _PAGE):
        found += [(_name(url, entry.key), entry) for entry in page if not entry.key.endswith("/")]
        marker = page[-1].key
        await asyncio.sleep(0)
    return found


def _name(url: str, key: str) -> str:
    """Return where an object goes in its channel: its key without the prefix's folder."""
    prefix = url.partition("://")[2].partition("/")[2]
    if key.startswith(prefix.rstrip("/") + "/"):
        return key[len(prefix.rstrip("/")) + 1 :]
    return key[len(prefix.rpartition("/")[0]) :].lstrip("/")


async def _listed(objects: Objects, url: str) -> list[tuple[str, Object]]:
    """Return the objects that a manifest lists, with where they go."""
    manifest = objects.find_url(url)
    try:
        if manifest is None or manifest.size > _LARGEST_MANIFEST:
            raise ValueError("it is not there, or too large")  # noqa: TRY301
        first, *names = await asyncio.to_thread(_manifest, manifest.path)
        prefix = first["prefix"]
        if not isinstance(prefix, str) or not all(isinstance(name, str) for name in names):
            raise TypeError("its entries are not texts")  # noqa: TRY301
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobFailed(f"ClientError: Data download failed: the manifest {url} cannot be read: {error}.") from error
    found = []
    for number, name in enumerate(names):
        if number % _PAGE == 0:
            await asyncio.sleep(0)
        entry = objects.find_url(prefix + name)
        if entry is None:
            raise JobFailed(f"ClientError: Data download failed: {prefix}{name} of the manifest {url} is not there.")
        found.append((name, entry))
    return found


def _manifest(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _copy(found: list[tuple[str, Object]], folder: Path, is_over: Callable[[], bool]) -> None:
    for name, entry in found:
        if is_over():
            return
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or parts[0] == "/" or "\0" in name:
            raise JobFailed(f"ClientError: Data download failed: {entry.key!r} cannot be the name of a file.")
        target = folder.joinpath(*parts)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(entry.path, target)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise JobFailed(
                f"ClientError: Data download failed: {entry.key!r} is a file and a folder at once."
            ) from error
        except FileNotFoundError as error:
            raise JobFailed(f"ClientError: Data download failed: {entry.key!r} is not there any more.") from error
        except OSError as error:
            raise _no_room(error) from error
        with contextlib.suppress(OSError):
            os.utime(target, (entry.modified, entry.modified))


def _no_room(error: OSError) -> JobFailed:
    return JobFailed(f"ClientError: Data download failed: {error.strerror or error}.")
