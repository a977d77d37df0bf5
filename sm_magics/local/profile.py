"""A profile in the user's AWS configuration that points here: with it, every AWS client needs ``AWS_PROFILE`` only.

The keys do not go into it: ``credential_process`` asks for them, and starts the service if it does not run.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from pathlib import Path

from sm_magics.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,64}")
_SECTION = re.compile(r"\s*\[\s*(?P<name>[^\]]*?)\s*\]\s*(?:[#;].*)?")
_SETTING = re.compile(r"(?P<name>[A-Za-z0-9_]+)\s*=")
#: What stands in a profile that is ours, by which it is known again.
_MARK = "sm_magics.local credentials"


def text(name: str, *, url: str, region: str, command: list[str]) -> str:
    """Return a profile as it stands in a configuration file.

    Parameters
    ----------
    command
        What prints the keys.
    """
    return (
        f"[profile {name}]\n"
        f"region = {region}\n"
        f"endpoint_url = {url}\n"
        f"credential_process = {shlex.join(command)}\n"
        # Without it clients presign with Signature Version 2, which new regions of AWS do not take either.
        "s3 =\n    signature_version = s3v4\n"
    )


def write(name: str, profile: str) -> tuple[Path, str]:
    """Write a profile into the AWS configuration file; return where, and "added", "changed" or "unchanged".

    What else is in the file stays as it is, byte for byte. Of a profile that was written here before only the address
    and the command are changed.

    Raises
    ------
    ConfigurationError
        If there is such a profile that is not ours, or the file cannot be read or written. Nothing is changed then.
    """
    if not _NAME.fullmatch(name) or name == "default":
        raise ConfigurationError(
            f"{name!r} is no name for a profile here: letters, digits and _.@+- make one, but not `default`, which "
            "every client uses that names none.",
            hint="python -m sm_magics.local env --profile local",
        )
    path = _config_file().resolve()
    try:
        _require_free(name, _credentials_file())
        before = path.read_bytes().decode() if path.exists() else ""
        after = _with_profile(before, name, profile)
        if after == before:
            return path, "unchanged"
        _replace(path, after)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"The AWS configuration {path} cannot be changed: {reason}.",
            hint=f"python -m sm_magics.local env --profile {name} --print    # to put it there yourself",
        ) from error
    return path, "changed" if _lines_of(before.splitlines(), name) else "added"


def _config_file() -> Path:
    return Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()


def _credentials_file() -> Path:
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()


def _require_free(name: str, credentials: Path) -> None:
    """Refuse a name that has keys elsewhere: clients would take those, and send them here."""
    lines = credentials.read_text().splitlines() if credentials.exists() else []
    if any((match := _SECTION.fullmatch(line)) and match["name"].strip("\"'") == name for line in lines):
        raise _taken(name, credentials)


def _with_profile(before: str, name: str, profile: str) -> str:
    lines = before.splitlines(keepends=True)
    there = _lines_of(lines, name)
    if there is None:
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        return before + gap + profile
    start, stop = there
    settings = {match["name"]: line for line in profile.splitlines() if (match := _SETTING.match(line))}
    if not any(_MARK in line for line in lines[start:stop]):
        raise _taken(name, _config_file())
    for place in range(start, stop):
        match = _SETTING.match(lines[place])
        if match and match["name"] in {"endpoint_url", "credential_process"}:
            ending = lines[place][len(lines[place].rstrip("\r\n")) :]
            lines[place] = settings[match["name"]] + ending
    return "".join(lines)


def _lines_of(lines: list[str], name: str) -> tuple[int, int] | None:
    """Return where a profile's settings begin and end, or None."""
    start = None
    for place, line in enumerate(lines):
        match = _SECTION.fullmatch(line.rstrip())
        if match and start is not None:
            return start, place
        if match and [word.strip("\"'") for word in match["name"].split(maxsplit=1)] == ["profile", name]:
            start = place + 1
    return None if start is None else (start, len(lines))


def _replace(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode())
        Path(partial).chmod(mode)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _taken(name: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} has a profile {name!r} already, which was not written here. It stays as it is.",
        hint=f"python -m sm_magics.local env --profile {name}-local",
    )
