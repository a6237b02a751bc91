"""Undoes the compression of a body in pieces, so that nobody has to hold what it unpacks to."""

import zlib
from collections.abc import Iterator, Mapping

_PIECE_BYTES = 64 * 1024

_WINDOW_BITS: Mapping[str, int] = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}

ENCODINGS = "gzip, deflate"


class BrokenPackingError(Exception):
    """The bytes are not compressed as they are said to be."""


class Unpacking:
    """Unpacks one body."""

    def __init__(self, encoding: str) -> None:
        """The encoding is one that `is_known`."""
        self._inflater = zlib.decompressobj(_WINDOW_BITS[encoding])

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What more packed bytes unpack to, in pieces of 64 KiB. Raises BrokenPackingError."""
        while True:
            try:
                piece = self._inflater.decompress(packed, _PIECE_BYTES)
            except zlib.error as exc:
                raise BrokenPackingError(str(exc)) from exc
            if self._inflater.unused_data:
                raise BrokenPackingError("something follows the end")
            if piece:
                yield piece
            packed = self._inflater.unconsumed_tail
            if not packed and len(piece) < _PIECE_BYTES:
                return

    def end(self) -> None:
        """To be called after the last byte. Raises BrokenPackingError if it was not the last."""
        if not self._inflater.eof:
            raise BrokenPackingError("it breaks off")


def encoding_of(content_encoding: str | None) -> str | None:
    """The one that a header names, or None for none."""
    named = (content_encoding or "").strip().lower()
    return named if named not in {"", "identity"} else None


def is_known(encoding: str | None) -> bool:
    return encoding is None or encoding in _WINDOW_BITS
