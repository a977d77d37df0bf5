"""Where SageMaker on this machine keeps its state and says how to reach it.

The service (``sm_magics.local``) writes here, those who want to talk to it (``sm_magics.hosting``) read here;
neither imports the other.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from .errors import ConfigurationError

_ANOTHER = "%env SM_MAGICS_HOME=/a/directory/of/yours"


def home() -> Path:
    """Return the state directory, made with mode 0700 if it is not there.

    ``SM_MAGICS_HOME`` overrides the user's state directory.

    Raises
    ------
    ConfigurationError
        If it cannot be made, belongs to another user or is open to others. What was there is never changed.
    """
    configured = os.environ.get("SM_MAGICS_HOME")
    path = Path(configured).expanduser() if configured else Path(platformdirs.user_state_dir("sm_magics"))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.stat()
    except OSError as error:
        raise ConfigurationError(
            f"The state directory {path} cannot be used: {error.strerror or error}.", hint=_ANOTHER
        ) from error
    if info.st_uid != os.getuid():
        raise ConfigurationError(f"The state directory {path} belongs to another user.", hint=_ANOTHER)
    if info.st_mode & 0o077:
        raise ConfigurationError(
            f"The state directory {path} is open to other users.",
            hint=f"!chmod 700 {shlex.quote(str(path))}    # if it is for this alone; otherwise {_ANOTHER}",
        )
    return path.absolute()


@dataclass(frozen=True)
class ServiceAddress:
    """How to reach the running service; what ``service.json`` holds.

    Attributes
    ----------
    url
        ``http://127.0.0.1:PORT``. Never ``localhost``: an IP address makes S3 addressing path-style by itself.
    access_key, secret_key
        What requests are signed with (AWS Signature Version 4).
    region, account
        A real region name and a 12-digit account id: the SDKs' tables need them real-looking.
    pid
        The service's process id.
    version
        The version of sm_magics that the service runs.
    """

    url: str
    access_key: str
    secret_key: str
    region: str
    account: str
    pid: int
    version: str

    @staticmethod
    def path() -> Path:
        """Return where the file lies."""
        return home() / "service.json"

    def write(self) -> None:
        """Write the file, readable by this user alone, atomically."""
        path = self.path()
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        partial.replace(path)

    @classmethod
    def read(cls) -> ServiceAddress | None:
        """Return the address of the service that wrote the file last and still lives, or None."""
        try:
            address = cls(**json.loads(cls.path().read_text()))
            os.kill(address.pid, 0)
        except (OSError, ValueError, TypeError, OverflowError):  # no file, no address, or no process of that number
            return None
        return address
