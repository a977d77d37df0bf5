"""``multipart/form-data``, read as leniently and as strictly as Netty 4.1.53 reads it.

What ends early gives the fields before it; what is wrong in a part's headers is an error, in the words of Java.
A part that is ``multipart/mixed`` holds files that all have the part's name.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from .forms import Malformed, Parameter, field_name

_DEFAULT_TYPE = "application/octet-stream"
_ENCODINGS = {"7bit", "8bit", "binary"}
_CHARSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.:_-]*")
_SKIPPED = re.compile(rb"[\x00-\x20\x7f-\x9f]*")  # control characters and white space
_NOT_JAVAS = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"}  # Python's alone
_OF_ONE_FILE = ("charset", "content-length", "content-transfer-encoding", "content-type", "filename")


class _EndsEarly(Exception):  # noqa: N818 - what happened
    """The body has no more complete part."""


def boundary_of(content_type: str) -> tuple[bytes, str] | None:
    """Return the delimiter of the parts and the charset of their headers, None if the type names no boundary.

    Raises
    ------
    Malformed
        If the boundary has no value, or the charset is unknown.
    """
    _, first, second = (*(part.strip() for part in content_type.split(";", 2)), "", "")[:3]
    if not first.lower().startswith("boundary"):
        first, second = second, first
        if not first.lower().startswith("boundary"):
            return None
    _, equals, boundary = first.partition("=")
    if not equals:
        raise Malformed("Needs a boundary value")
    if not boundary:
        raise Malformed("String index out of range: 0", "StringIndexOutOfBoundsException")
    if len(boundary) > 1 and boundary[0] == boundary[-1] == '"':
        boundary = boundary[1:-1]
    _, equals, charset = second.partition("=")
    if not (equals and second.lower().startswith("charset")):
        charset = "utf-8"
    if not _CHARSET_NAME.fullmatch(charset):
        raise Malformed(charset, "IllegalCharsetNameException", 403)
    if not _is_known(charset):
        raise Malformed(charset, "UnsupportedCharsetException", 403)
    return b"--" + boundary.encode("latin-1", "replace"), charset


def fields(body: bytes | bytearray, delimiter: bytes, charset: str) -> Iterator[Parameter]:
    """Yield the fields and files of a form.

    Parameters
    ----------
    body
        The whole body.
    delimiter
        What stands before each part.
    charset
        Of the parts' headers.

    Raises
    ------
    Malformed
        If a part's headers are wrong. What was yielded before counts for nothing then.
    """
    reader = _Reader(body, charset)
    try:
        while reader.delimiter(delimiter):
            attributes: dict[str, str] = {}
            mixed = reader.headers(attributes, mixed=False)
            if mixed is None:
                yield _parameter(attributes, reader.content(delimiter))
                continue
            while reader.delimiter(mixed):
                reader.headers(attributes, mixed=True)
                if "filename" not in attributes:
                    raise Malformed("Filename not found")
                yield _parameter(attributes, reader.content(mixed))
                for name in _OF_ONE_FILE:
                    attributes.pop(name, None)
    except _EndsEarly:
        return


def _parameter(attributes: dict[str, str], content: bytearray) -> Parameter:
    is_file = "filename" in attributes
    encoding = attributes.get("content-transfer-encoding", "7bit").lower()
    if is_file and encoding not in _ENCODINGS:
        raise Malformed(f"TransferEncoding Unknown: {encoding}")
    charset = attributes.get("charset", "utf-8")
    if not _CHARSET_NAME.fullmatch(charset):
        raise Malformed(charset, "IllegalCharsetNameException", 403)
    if not _is_known(charset):
        raise Malformed(f"java.nio.charset.UnsupportedCharsetException: {charset}")
    if "name" not in attributes:
        attribute = "io.netty.handler.codec.http.multipart.Attribute"
        why = f'Cannot invoke "{attribute}.getValue()" because "nameAttribute" is null'
        raise Malformed(f"java.lang.NullPointerException: {why}")
    name = field_name(_clean(attributes["name"]))
    return Parameter(name, attributes.get("content-type", _DEFAULT_TYPE) if is_file else "", content)


class _Reader:
    """Walks through a body."""

    def __init__(self, body: bytes | bytearray, charset: str) -> None:
        self._body = body
        self._charset = charset
        self._at = 0

    def delimiter(self, delimiter: bytes) -> bool:
        """Read a delimiter; return False if it is the closing one."""
        self._skip()
        found = re.compile(re.escape(delimiter) + rb"(?:(\r?\n)|--(?:\r?\n|(?!\r)))").match(self._body, self._at)
        if found is None:
            raise _EndsEarly
        self._at = found.end()
        return found[1] is not None

    def content(self, delimiter: bytes) -> bytearray:
        """Read up to a line that begins with the delimiter."""
        start = self._at
        if not self._body.startswith(delimiter, start):
            found = re.compile(rb"\r?\n" + re.escape(delimiter)).search(self._body, start)
            if found is None:
                raise _EndsEarly
            self._at = found.start()
        return bytearray(self._body[start : self._at])

    def headers(self, attributes: dict[str, str], *, mixed: bool) -> bytes | None:
        """Read a part's headers into attributes; return the delimiter of the files in it, if it is made of files."""
        while (end := self._line_feed()) is None:
            self._skip()
            found = re.compile(rb"\r?\n").search(self._body, self._at)
            if found is None:
                raise _EndsEarly
            line = self._body[self._at : found.start()].decode(self._charset, "replace")
            self._at = found.end()
            name, *values = _split(line)
            lower = name.lower()
            if lower == "content-disposition":
                wanted = {"attachment", "file"} if mixed else {"form-data"}
                if _of(values, 0).lower() in wanted:
                    attributes.update(map(_attribute, values[1:]))
            elif lower in {"content-transfer-encoding", "content-length"}:
                attributes[lower] = _clean(_of(values, 0))
            elif lower == "content-type":
                if _of(values, 0).lower() == "multipart/mixed":
                    if mixed:
                        raise Malformed("Mixed Multipart found in a previous Mixed Multipart")
                    return b"--" + _of(values, 1).partition("=")[2].encode()
                for value in values:
                    is_charset = value.lower().startswith("charset")
                    attributes["charset" if is_charset else lower] = (
                        _clean(value.partition("=")[2]) if is_charset else value
                    )
        self._at = end
        return None

    def _line_feed(self) -> int | None:
        found = re.compile(rb"\r?\n").match(self._body, self._at)
        return None if found is None else found.end()

    def _skip(self) -> None:
        found = _SKIPPED.match(self._body, self._at)
        self._at = len(self._body) if found is None else found.end()
        if self._at == len(self._body):
            raise _EndsEarly


def _split(line: str) -> list[str]:
    """Return a header's name, and its values: between semicolons that are not quoted, or else between commas."""
    name = re.split(r"[:\s]", line, maxsplit=1)[0]
    value = line.partition(":")[2].strip()
    if ";" not in value:
        values = value.split(",")
        while len(values) > 1 and not values[-1]:
            values.pop()
    else:
        values = _split_unquoted(value)
    return [name, *(value.strip() for value in values)]


def _split_unquoted(value: str) -> list[str]:
    values, start, quoted, escaped = [], 0, False, False
    for at, character in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            values.append(value[start:at])
            start = at + 1
    return [*values, value[start:]]


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed("Index 1 out of bounds for length 1", "ArrayIndexOutOfBoundsException")
    name = _clean(name)
    if name == "filename*":
        name = "filename"
    return field_name(name).lower(), value if name == "filename" else _clean(value)


def _of(values: list[str], index: int) -> str:
    if index < len(values):
        return values[index]
    raise Malformed(f"Index {index + 1} out of bounds for length {len(values) + 1}", "ArrayIndexOutOfBoundsException")


def _clean(text: str) -> str:
    return re.sub(r"[:,=;\t]", " ", text.replace('"', "")).strip()


def _is_known(charset: str) -> bool:
    try:
        "".encode(charset)
    except LookupError:  # there is none, or it is none for text
        return False
    return codecs.lookup(charset).name not in _NOT_JAVAS
