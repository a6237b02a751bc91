"""Compressed bodies are restored exactly; anything else raises DecompressionError."""

import gzip
import zlib
from collections.abc import Callable
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.decompressor import DecompressionError, Decompressor, compression_layers


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def members(body: bytes) -> bytes:
    """Gzip as tools write it that compress in parallel, with the padding of a tape."""
    middle = len(body) // 2
    return gzip.compress(body[:middle]) + b"\0\0" + gzip.compress(body[middle:]) + b"\0" * 512


def as_it_is(body: bytes) -> bytes:
    return body


COMPRESS: list[Callable[[bytes], bytes]] = [gzip.compress, zlib.compress, raw_deflate, members]
WITH_A_MARK = [gzip.compress, zlib.compress, members, as_it_is]
#: JSON, more or less: other bytes could look like a compressed body before they are one.
BODIES = st.builds(mul, st.binary(), st.integers(0, 5_000)).map(lambda body: b'{"x":' + body)


def decompressed(*compressed: bytes, layers: int = 1) -> bytes:
    decompressor = Decompressor(layers)
    pieces = [piece for part in compressed for piece in decompressor.pieces(part)]
    decompressor.end()
    assert all(len(piece) <= 64 * 1024 for piece in pieces)
    return b"".join(pieces)


@given(BODIES, st.sampled_from(COMPRESS), st.integers(0))
def test_what_was_packed_comes_out(
    body: bytes, compress: Callable[[bytes], bytes], cut: int
) -> None:
    """In pieces of 64 KiB at most, wherever the compressed bytes are cut in two."""
    compressed = compress(body)
    middle = cut % (len(compressed) + 1)

    assert decompressed(compressed[:middle], compressed[middle:]) == body


@given(BODIES, st.sampled_from(WITH_A_MARK), st.sampled_from(WITH_A_MARK))
def test_one_in_another_comes_out(
    body: bytes, inner: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]
) -> None:
    """Also where one of the layers was taken away on the way."""
    small = body[:60_000]
    assert decompressed(outer(inner(small)), layers=2) == small


@given(BODIES, st.sampled_from(COMPRESS))
def test_bytes_one_by_one(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    small = body[:100]
    assert decompressed(*(bytes([byte]) for byte in compress(small))) == small


@given(st.binary(min_size=1))
def test_garbage_raises_one_error(garbage: bytes) -> None:
    """Whatever it is: it is no whole compressed body, or it is one by chance."""
    try:
        decompressed(garbage)
    except DecompressionError:
        return


@given(BODIES, st.sampled_from(COMPRESS[:3]))
def test_a_body_that_breaks_off_is_an_error(
    body: bytes, compress: Callable[[bytes], bytes]
) -> None:
    """A second member that breaks off is one, too."""
    with pytest.raises(DecompressionError):
        decompressed(compress(body)[:-1])
    with pytest.raises(DecompressionError):
        decompressed(gzip.compress(body), gzip.compress(body)[:-1])


@given(BODIES, st.sampled_from(COMPRESS))
def test_what_follows_the_end_is_nothing(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    """What was decompressed is whole, by its checksum or its end mark."""
    assert decompressed(compress(body), b"x", b"and more") == body


def test_members_have_a_bound() -> None:
    """Each takes memory and time, and an empty one is 20 bytes."""
    with pytest.raises(DecompressionError):
        decompressed(gzip.compress(b"") * 1001)


@pytest.mark.parametrize(
    ("headers", "layers"),
    [
        ([], 0),
        ([""], 0),
        (["identity"], 0),
        ([" GZip "], 1),
        (["x-gzip"], 1),
        (["gzip, identity"], 1),
        (["identity", "deflate"], 1),
        (["gzip,, gzip"], 2),
        (["gzip", "deflate", "gzip"], 3),
        (["gzip, gzip, gzip, gzip"], None),
        (["br"], None),
        (["gzip, br"], None),
        (["zstd"], None),
        (["compress"], None),
        (["utf-8"], None),
    ],
)
def test_the_headers_say_how_often(headers: list[str], layers: int | None) -> None:
    assert compression_layers(headers) == layers
