"""Compressed bodies are restored exactly; anything else raises DecompressionError."""

import gzip
import zlib
from collections.abc import Callable
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.gateway.http.body import DecompressionError, Decompressor, compression_layers


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def members(body: bytes) -> bytes:
    """Gzip as parallel tools write it, with the padding of a tape."""
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
def test_a_body_is_restored(body: bytes, compress: Callable[[bytes], bytes], cut: int) -> None:
    """In pieces of up to 64 KiB, wherever the compressed bytes are split."""
    compressed = compress(body)
    middle = cut % (len(compressed) + 1)

    assert decompressed(compressed[:middle], compressed[middle:]) == body


@given(BODIES, st.sampled_from(WITH_A_MARK), st.sampled_from(WITH_A_MARK))
def test_two_layers_are_removed(
    body: bytes, inner: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]
) -> None:
    """Also if a proxy has already removed one of them."""
    small = body[:60_000]
    assert decompressed(outer(inner(small)), layers=2) == small


@given(BODIES, st.sampled_from(COMPRESS))
def test_bytes_one_by_one(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    small = body[:100]
    assert decompressed(*(bytes([byte]) for byte in compress(small))) == small


@given(st.binary(min_size=1))
def test_garbage_raises_one_error(garbage: bytes) -> None:
    """Random bytes either raise DecompressionError or are valid by chance."""
    try:
        decompressed(garbage)
    except DecompressionError:
        return


@given(BODIES, st.sampled_from(COMPRESS[:3]))
def test_an_incomplete_body_is_an_error(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    """An incomplete second member, too."""
    with pytest.raises(DecompressionError):
        decompressed(compress(body)[:-1])
    with pytest.raises(DecompressionError):
        decompressed(gzip.compress(body), gzip.compress(body)[:-1])


@given(BODIES, st.sampled_from(COMPRESS))
def test_bytes_after_the_end_are_ignored(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    """A checksum or an end mark shows that the body is complete."""
    assert decompressed(compress(body), b"x", b"and more") == body


def test_the_number_of_members_is_limited() -> None:
    """Each takes memory and time, and an empty one has only 20 bytes."""
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
def test_the_headers_give_the_number_of_layers(headers: list[str], layers: int | None) -> None:
    assert compression_layers(headers) == layers
