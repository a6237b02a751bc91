"""Decompresses a body piece by piece, so that its full size never has to be in memory at once.

The header only shows that a body is compressed; its first bytes show how. Some senders confuse zlib
with raw deflate, and some proxies decompress a body and keep the header.
"""

import zlib
from collections.abc import Iterable, Iterator

ENCODINGS = "gzip, deflate"

GZIP_MAGIC = b"\x1f\x8b"
"""No JSON text starts like this, so such a body is gzip even without the header."""

_PIECE_BYTES = 64 * 1024
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_NO_CODINGS = frozenset({"", "identity"})
_MAX_LAYERS = 3
_MAX_MEMBERS = 1000
"""Tools that write several members write one for every 64 KiB, or for every flush."""

_SNIFFED_BYTES = 2
_JSON_STARTS = (b"{", b"[", b" ", b"\t", b"\xef\xbb", b"\xff\xfe", b"\xfe\xff")
"""Starts of a body that is already decompressed. No compressed stream starts like this."""

_ZLIB_METHOD = 8
_ZLIB_CHECK = 31


class DecompressionError(Exception):
    """The compressed bytes are invalid or incomplete."""


class Decompressor:
    """Decompresses one body that was compressed `layers` times."""

    def __init__(self, layers: int = 1) -> None:
        self._inner = Decompressor(layers - 1) if layers > 1 else None
        self._start = b""
        self._inflater: zlib._Decompress | None = None
        self._members = 0
        self._is_plain = False
        self._is_finished = False

    def pieces(self, compressed: bytes) -> Iterator[bytes]:
        """Decompress more bytes, in pieces of up to 64 KiB. Raises DecompressionError."""
        for piece in self._decompress(compressed):
            if self._inner is None:
                yield piece
            else:
                yield from self._inner.pieces(piece)

    def end(self) -> None:
        """Call this after the last byte. Raises DecompressionError if the body is incomplete."""
        if self._inflater is not None or (self._start and not self._members):
            raise DecompressionError("the body is incomplete")
        if self._inner is not None:
            self._inner.end()

    def _decompress(self, compressed: bytes) -> Iterator[bytes]:
        while not self._is_finished:
            if self._inflater is None and not self._is_plain:
                compressed = self._begin(compressed)
            if self._is_plain:
                yield compressed
                return
            if self._inflater is None:
                return
            try:
                piece = self._inflater.decompress(compressed, _PIECE_BYTES)
            except zlib.error as exc:
                raise DecompressionError(str(exc)) from exc
            yield piece
            if self._inflater.eof:
                compressed, self._inflater = self._inflater.unused_data, None
                continue
            compressed = self._inflater.unconsumed_tail
            if not compressed and len(piece) < _PIECE_BYTES:
                return

    def _begin(self, compressed: bytes) -> bytes:
        """Choose the format by the first bytes, and return them; empty while there are too few.

        After the end, anything but another gzip member is padding and is ignored.
        """
        start = self._start + compressed
        if self._members:
            start = start.lstrip(b"\0")
        if len(start) < _SNIFFED_BYTES:
            self._start = start
            return b""
        self._start = b""
        is_gzip = start.startswith(GZIP_MAGIC)
        if self._members and not is_gzip:
            self._is_finished = True
            return b""
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise DecompressionError("too many gzip members")
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


def compression_layers(content_encodings: Iterable[str]) -> int | None:
    """How many times these headers compress a body; None if an encoding is not supported."""
    codings = [
        coding
        for value in content_encodings
        for part in value.split(",")
        if (coding := part.strip().lower()) not in _NO_CODINGS
    ]
    if len(codings) > _MAX_LAYERS or not _CODINGS.issuperset(codings):
        return None
    return len(codings)
