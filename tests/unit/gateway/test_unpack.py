"""Packed bodies come out as they went in, and whatever else is called packed raises one error."""

import gzip
import zlib
from collections.abc import Callable
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.unpack import BrokenPackingError, Unpacking, encoding_of, is_known

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}
BODIES = st.builds(mul, st.binary(), st.integers(0, 5_000))


def unpacked(encoding: str, *packed: bytes) -> bytes:
    unpacking = Unpacking(encoding)
    pieces = [piece for part in packed for piece in unpacking.pieces(part)]
    unpacking.end()
    assert all(len(piece) <= 64 * 1024 for piece in pieces)
    return b"".join(pieces)


@given(BODIES, st.sampled_from(sorted(PACK)), st.integers(0))
def test_what_was_packed_comes_out(body: bytes, encoding: str, cut: int) -> None:
    """In pieces of 64 KiB at most, wherever the packed bytes are cut in two."""
    packed = PACK[encoding](body)
    middle = cut % (len(packed) + 1)

    assert unpacked(encoding, packed[:middle], packed[middle:]) == body


@given(st.binary(), st.sampled_from(sorted(PACK)))
def test_garbage_raises_one_error(garbage: bytes, encoding: str) -> None:
    """Whatever it is: it is no whole packed body, or it is one by chance."""
    try:
        unpacked(encoding, garbage)
    except BrokenPackingError:
        return
    assert garbage


@given(st.binary(min_size=1), st.sampled_from(sorted(PACK)))
def test_less_and_more_than_all_are_errors(body: bytes, encoding: str) -> None:
    """A body that breaks off is no body, and nothing is smuggled in behind one."""
    packed = PACK[encoding](body)

    with pytest.raises(BrokenPackingError):
        unpacked(encoding, packed[:-1])
    with pytest.raises(BrokenPackingError):
        unpacked(encoding, packed, b"x")


@pytest.mark.parametrize(
    ("header", "encoding"),
    [(None, None), ("", None), ("identity", None), (" GZip ", "gzip"), ("br", "br")],
)
def test_the_header_names_an_encoding(header: str | None, encoding: str | None) -> None:
    assert encoding_of(header) == encoding


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_other_encodings_are_not_known(encoding: str) -> None:
    """None and those that we unpack are."""
    assert not is_known(encoding)
    assert is_known(None)
    assert is_known("gzip")
