"""Undoes the compression of a body in pieces, so that nobody has to hold what it unpacks to.

The header says only that a body is compressed; its first bytes say how. Senders mix up zlib and raw
deflate, and proxies unpack a body without taking the header away.
"""

import zlib
from collections.abc import Iterable, Iterator

ENCODINGS = "gzip, deflate"

GZIP_MAGIC = b"\x1f\x8b"
"""No JSON text begins like this, so it is gzip also where no header says so."""

_PIECE_BYTES = 64 * 1024
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_NO_CODINGS = frozenset({"", "identity"})
_MAX_LAYERS = 3
_MAX_MEMBERS = 1000
"""Tools that write several members make one for every 64 KiB, or for every flush."""

_SNIFFED_BYTES = 2
_JSON_STARTS = (b"{", b"[", b" ", b"\t", b"\xef\xbb", b"\xff\xfe", b"\xfe\xff")
"""A body that was unpacked already. No compressed stream begins with one of these."""

_ZLIB_METHOD = 8
_ZLIB_CHECK = 31


class BrokenPackingError(Exception):
    """The bytes are not compressed as they are said to be."""


class Unpacking:
    """Unpacks one body, which was compressed `layers` times."""

    def __init__(self, layers: int = 1) -> None:
        self._inner = Unpacking(layers - 1) if layers > 1 else None
        self._start = b""
        self._inflater: zlib._Decompress | None = None
        self._members = 0
        self._is_plain = False
        self._is_over = False

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What more packed bytes unpack to, in pieces of 64 KiB. Raises BrokenPackingError."""
        for piece in self._unpack(packed):
            if self._inner is None:
                yield piece
            else:
                yield from self._inner.pieces(piece)

    def end(self) -> None:
        """To be called after the last byte. Raises BrokenPackingError if it was not the last."""
        if self._inflater is not None or (self._start and not self._members):
            raise BrokenPackingError("it breaks off")
        if self._inner is not None:
            self._inner.end()

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        while not self._is_over:
            if self._inflater is None and not self._is_plain:
                packed = self._begin(packed)
            if self._is_plain:
                yield packed
                return
            if self._inflater is None:
                return
            try:
                piece = self._inflater.decompress(packed, _PIECE_BYTES)
            except zlib.error as exc:
                raise BrokenPackingError(str(exc)) from exc
            yield piece
            if self._inflater.eof:
                packed, self._inflater = self._inflater.unused_data, None
                continue
            packed = self._inflater.unconsumed_tail
            if not packed and len(piece) < _PIECE_BYTES:
                return

    def _begin(self, packed: bytes) -> bytes:
        """Choose how to unpack what follows, and return it; nothing while it is too short.

        What follows the end and is no other member of gzip is padding: what was unpacked is whole.
        """
        start = self._start + packed
        if self._members:
            start = start.lstrip(b"\0")
        if len(start) < _SNIFFED_BYTES:
            self._start = start
            return b""
        self._start = b""
        is_gzip = start.startswith(GZIP_MAGIC)
        if self._members and not is_gzip:
            self._is_over = True
            return b""
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise BrokenPackingError("it has too many members")
        if start.startswith(_JSON_STARTS):
            self._is_plain = True
        else:
            self._inflater = zlib.decompressobj(_window_bits(start, is_gzip=is_gzip))
        return start


def _window_bits(start: bytes, *, is_gzip: bool) -> int:
    if is_gzip:
        return 16 + zlib.MAX_WBITS
    is_zlib = (
        start[0] & 0x0F == _ZLIB_METHOD
        and int.from_bytes(start[:_SNIFFED_BYTES]) % _ZLIB_CHECK == 0
    )
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def layers_in(content_encodings: Iterable[str]) -> int | None:
    """How often a body is compressed by these headers; None where we cannot undo it."""
    codings = [
        coding
        for value in content_encodings
        for part in value.split(",")
        if (coding := part.strip().lower()) not in _NO_CODINGS
    ]
    if len(codings) > _MAX_LAYERS or not _CODINGS.issuperset(codings):
        return None
    return len(codings)
