"""What a request asks for, read and checked: names, places, payloads. Whatever else comes is refused, saying what."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sm_magics.hosting import names, places
from sm_magics.payload import LARGEST
from sm_magics.settings import LOCAL, resolve

from .places import Place
from .problems import Problem, Refused, invalid
from .state import State

_LONGEST_BODY = LARGEST * 4 // 3 + 65536
_MOST_PLACES = 8
_TYPE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?")  # ContentType and Accept: 1024 of ASCII
_PROFILE = re.compile(r"[^\x00-\x1f\x7f]{0,128}")


@dataclass(frozen=True)
class Payload:
    """What goes to an endpoint, and what is asked for."""

    body: bytes
    content_type: str
    accept: str


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes
    ----------
    path
        What the route's pattern names, by name.
    query
        The query's arguments, each with its values.
    body
        The JSON object that was sent; empty where there was none.
    root
        The directory that the Jupyter server serves; empty where its files are elsewhere.
    """

    state: State
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""

    @property
    def name(self) -> str:
        """The endpoint's or the job's name."""
        return sagemaker_name(self.path["name"])

    @property
    def place(self) -> Place:
        """The place that the path names."""
        return self._place(self.path["where"])

    @property
    def places(self) -> list[Place]:
        """The places that the query names, each once."""
        given = list(dict.fromkeys(self.query.get("where", ())))
        if not 0 < len(given) <= _MOST_PLACES:
            raise invalid(f"Between 1 and {_MOST_PLACES} places can be asked at once.", "?where=local&where=us-west-2")
        return [self._place(where) for where in given]

    @property
    def aws(self) -> Place:
        """The AWS region that the query names, else the default one."""
        region = self.word("region")
        if region in {"", LOCAL}:
            return Place("", self.profile)
        return self._place(region)

    @property
    def profile(self) -> str:
        """The AWS profile's name, empty for the environment's."""
        given = self.word("profile")
        if not _PROFILE.fullmatch(given):
            raise invalid("This is no name of an AWS profile.", "!aws configure list-profiles")
        return given

    def _place(self, where: str) -> Place:
        if where == LOCAL:
            return Place(LOCAL)
        # A region that is newer than botocore is taken from the environment.
        if where not in places.regions() and (not where or where != resolve({}).region):
            raise invalid(f"{where[:64]!r} is no AWS region where SageMaker is, and not 'local'.", "us-west-2")
        return Place(where, self.profile)

    def word(self, name: str) -> str:
        """Return a text of the body or the query, empty where there is none."""
        if name in self.body:
            value = self.body[name]
            if not isinstance(value, str):
                raise invalid(f"{name} is a text.")
            return value
        return next(iter(self.query.get(name, ())), "")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return whether something is asked for."""
        value = self.body.get(name, next(iter(self.query.get(name, ())), default))
        known = {"true": True, "1": True, "false": False, "0": False, "": default}
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or value not in known:
            raise invalid(f"{name} is true or false.")
        return known[value]

    def number(self, name: str, *, default: int, allowed: range) -> int:
        """Return a number of the query within its bounds."""
        text = next(iter(self.query.get(name, ())), "") or str(default)
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) not in allowed:
            raise invalid(f"{name} is a number from {allowed.start} to {allowed.stop - 1}.")
        return int(text)

    @property
    def payload(self) -> Payload:
        """What goes to an endpoint."""
        text, encoding = self.body.get("body", ""), self.body.get("encoding", "text")
        if not isinstance(text, str) or encoding not in {"text", "base64"}:
            raise invalid("body is a text, and encoding is text or base64.")
        try:
            body = text.encode() if encoding == "text" else base64.b64decode(text, validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError) as error:
            raise invalid(f"body cannot be read as {encoding}.") from error
        if len(body) > LARGEST:
            raise too_large(len(body))
        return Payload(body, self._type("content_type"), self._type("accept"))

    def _type(self, name: str) -> str:
        value = self.body.get(name, "application/json")
        if not isinstance(value, str) or not _TYPE.fullmatch(value):
            raise invalid(f"{name} is a content type such as application/json.")
        return value


def too_large(size: int) -> Refused:
    """Return the refusal of a payload of so many bytes."""
    return Refused(
        Problem(
            413,
            "PayloadTooLarge",
            f"The payload has {size / 1e6:.1f} MB, and SageMaker takes 25 MB at the most.",
            "%sm_predict x[:8]    # fewer at once",
        )
    )


def check_length(length: int) -> None:
    """Refuse a request's body of so many bytes before it is read as JSON."""
    if length > _LONGEST_BODY:
        raise too_large(length)


def sagemaker_name(text: str) -> str:
    """Return a name that an endpoint or a training job can have; both have the same pattern (API reference)."""
    if not names.is_name(text):
        raise invalid(
            f"SageMaker has no name {text[:80]!r}: up to 63 letters, digits and hyphens, beginning and ending with no "
            "hyphen."
        )
    return text
