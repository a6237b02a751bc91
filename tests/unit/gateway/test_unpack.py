"""Packed bodies come out as they went in, and whatever else is called packed raises one error."""

import gzip
import zlib
from collections.abc import Callable
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.unpack import BrokenPackingError, Unpacking, layers_in


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def members(body: bytes) -> bytes:
    """Gzip as tools write it that pack in parallel, with the padding of a tape."""
    middle = len(body) // 2
    return gzip.compress(body[:middle]) + b"\0\0" + gzip.compress(body[middle:]) + b"\0" * 512


def as_it_is(body: bytes) -> bytes:
    return body


PACK: list[Callable[[bytes], bytes]] = [gzip.compress, zlib.compress, raw_deflate, members]
WITH_A_MARK = [gzip.compress, zlib.compress, members, as_it_is]
#: JSON, more or less: other bytes could look like a packed body before they are one.
BODIES = st.builds(mul, st.binary(), st.integers(0, 5_000)).map(lambda body: b'{"x":' + body)


def unpacked(*packed: bytes, layers: int = 1) -> bytes:
    unpacking = Unpacking(layers)
    pieces = [piece for part in packed for piece in unpacking.pieces(part)]
    unpacking.end()
    assert all(len(piece) <= 64 * 1024 for piece in pieces)
    return b"".join(pieces)


@given(BODIES, st.sampled_from(PACK), st.integers(0))
def test_what_was_packed_comes_out(body: bytes, pack: Callable[[bytes], bytes], cut: int) -> None:
    """In pieces of 64 KiB at most, wherever the packed bytes are cut in two."""
    packed = pack(body)
    middle = cut % (len(packed) + 1)

    assert unpacked(packed[:middle], packed[middle:]) == body


@given(BODIES, st.sampled_from(WITH_A_MARK), st.sampled_from(WITH_A_MARK))
def test_one_in_another_comes_out(
    body: bytes, inner: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]
) -> None:
    """Also where one of the layers was taken away on the way."""
    small = body[:60_000]
    assert unpacked(outer(inner(small)), layers=2) == small


@given(BODIES, st.sampled_from(PACK))
def test_bytes_one_by_one(body: bytes, pack: Callable[[bytes], bytes]) -> None:
    small = body[:100]
    assert unpacked(*(bytes([byte]) for byte in pack(small))) == small


@given(st.binary(min_size=1))
def test_garbage_raises_one_error(garbage: bytes) -> None:
    """Whatever it is: it is no whole packed body, or it is one by chance."""
    try:
        unpacked(garbage)
    except BrokenPackingError:
        return


@given(BODIES, st.sampled_from(PACK[:3]))
def test_a_body_that_breaks_off_is_an_error(body: bytes, pack: Callable[[bytes], bytes]) -> None:
    """A second member that breaks off is one, too."""
    with pytest.raises(BrokenPackingError):
        unpacked(pack(body)[:-1])
    with pytest.raises(BrokenPackingError):
        unpacked(gzip.compress(body), gzip.compress(body)[:-1])


@given(BODIES, st.sampled_from(PACK))
def test_what_follows_the_end_is_nothing(body: bytes, pack: Callable[[bytes], bytes]) -> None:
    """What was unpacked is whole, by its checksum or its end mark."""
    assert unpacked(pack(body), b"x", b"and more") == body


def test_members_have_a_bound() -> None:
    """Each takes memory and time, and an empty one is 20 bytes."""
    with pytest.raises(BrokenPackingError):
        unpacked(gzip.compress(b"") * 1001)


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
    assert layers_in(headers) == layers
