"""Bodies in signed chunks. The signatures are those of the examples in the Amazon S3 API reference."""

from __future__ import annotations

import asyncio
import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import signing_key
from sm_magics.local.s3.aws_chunked import ChunkedBody, Signer

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
SIGNED = (
    b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
    + b"a" * 65536
    + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
    + b"a" * 1024
    + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
)
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER = (
    b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
    + b"a" * 65536
    + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
    + b"a" * 1024
    + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


def signer(seed=SEED) -> Signer:
    key = signing_key(SECRET, "20130524", "us-east-1", "s3")
    return Signer(key=key, time="20130524T000000Z", scope="20130524/us-east-1/s3/aws4_request", seed=seed)


def decoded(body: bytes, by: Signer | None, expected=(), *, step=1000) -> tuple[bytes, dict[str, str]]:
    async def pieces():
        for start in range(0, len(body), step):
            yield body[start : start + step]

    async def read():
        chunked = ChunkedBody(pieces(), by, set(expected))
        content = [piece async for piece in chunked.content()]
        return b"".join(content), chunked.trailers

    return asyncio.run(read())


@pytest.mark.parametrize("step", [7, 1000, 1 << 20])
def test_amazons_examples_are_read_whatever_pieces_they_come_in(step):
    assert decoded(SIGNED, signer(), step=step) == (b"a" * 66560, {})
    assert decoded(TRAILER, signer(TRAILER_SEED), {"x-amz-checksum-crc32c"}, step=step) == (
        b"a" * 66560,
        {"x-amz-checksum-crc32c": "sOO8/Q=="},
    )


@pytest.mark.parametrize(
    ("body", "seed", "expected", "code"),
    [
        (SIGNED.replace(b"aaa", b"aba", 1), SEED, (), "SignatureDoesNotMatch"),
        (SIGNED, "0" * 64, (), "SignatureDoesNotMatch"),
        (SIGNED.replace(b"b6c6ea", b"b6c6eb"), SEED, (), "SignatureDoesNotMatch"),
        (SIGNED[:-10], SEED, (), "IncompleteBody"),
        (SIGNED[:66500], SEED, (), "IncompleteBody"),
        (SIGNED[:65000], SEED, (), "IncompleteBody"),
        (SIGNED + b"more", SEED, (), "IncompleteBody"),
        (SIGNED.replace(b"10000;", b"zz;"), SEED, (), "IncompleteBody"),
        (SIGNED.replace(b"10000;", b"fff0;"), SEED, (), "SignatureDoesNotMatch"),
        (b"3\r\nabc\r\n0\r\n\r\n", SEED, (), "IncompleteBody"),
        (b"a" * 20000, SEED, (), "IncompleteBody"),
        (b"", SEED, (), "IncompleteBody"),
        (TRAILER.replace(b"sOO8", b"sOO9"), TRAILER_SEED, {"x-amz-checksum-crc32c"}, "SignatureDoesNotMatch"),
        (TRAILER, TRAILER_SEED, {"x-amz-checksum-sha1"}, "MalformedTrailerError"),
        (TRAILER, TRAILER_SEED, (), "MalformedTrailerError"),
        (SIGNED, SEED, {"x-amz-checksum-crc32c"}, "MalformedTrailerError"),
    ],
)
def test_what_was_cut_or_changed_is_refused(body, seed, expected, code):
    with pytest.raises(ApiError) as caught:
        decoded(body, signer(seed), expected)
    assert caught.value.code == code


@given(st.lists(st.binary(min_size=1, max_size=300)), st.integers(1, 50))
def test_unsigned_chunks_with_a_checksum_behind_them_are_read(chunks, step):
    content = b"".join(chunks)
    crc = base64.b64encode(zlib.crc32(content).to_bytes(4, "big"))
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    body += b"0\r\nX-Amz-Checksum-Crc32: " + crc + b"\r\n\r\n"
    read, trailers = decoded(body, None, {"x-amz-checksum-crc32"}, step=step)
    assert (read, trailers) == (content, {"x-amz-checksum-crc32": crc.decode()})


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body):
    with pytest.raises(ApiError):
        decoded(body, signer())
