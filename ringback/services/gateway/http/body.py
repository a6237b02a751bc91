"""Reads and decompresses a request body within limits of size, time and memory.

A body is decompressed piece by piece, so that its full size never has to be in memory at once. The
header only shows that a body is compressed; its first bytes show how. Some senders confuse zlib
with raw deflate, and some proxies decompress a body and keep the header.
"""

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ringback.services.gateway.http.in_flight import SMALL_BYTES, Lease
from ringback.services.gateway.http.rejection import (
    BROKEN_BODY,
    BUSY,
    TOO_LARGE,
    TOO_SLOW,
    Rejection,
)

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


_BROKEN_BODY_ERRORS = (web.RequestPayloadError, HttpProcessingError, OSError, DecompressionError)
"""Raised when the sender disconnects, or sends something else than the headers announce."""


@dataclass(frozen=True, slots=True)
class BodyHeaders:
    """The size that the headers announce, if any, and how many times the body is compressed."""

    size_bytes: int | None
    layers: int


async def read_body(
    content: StreamReader, headers: BodyHeaders, *, lease: Lease, max_bytes: int, timeout_s: float
) -> bytes | Rejection:
    """Read the whole body, decompressed, or return a rejection.

    The limits apply to the decompressed size. Reading stops when a body grows too large.
    """
    is_whole = content.is_eof()
    if not lease.admit(is_whole=is_whole):
        return BUSY
    declared_bytes = None if headers.layers else headers.size_bytes
    reader = _BodyReader(lease, max_bytes, declared_bytes)
    try:
        if is_whole:  # No timeout is needed.
            return await reader.read_all(content, headers.layers)
        async with asyncio.timeout(timeout_s):
            return await reader.read_all(content, headers.layers)
    except TimeoutError:
        return TOO_SLOW
    except _BROKEN_BODY_ERRORS:
        return BROKEN_BODY


class _BodyReader:
    """Collects the pieces of one body, and reserves the memory of each before keeping it.

    A body of unknown size reserves the maximum as soon as it is large. If many such bodies reserved
    memory step by step, it would run out before any of them was complete.
    """

    def __init__(self, lease: Lease, max_bytes: int, declared_bytes: int | None) -> None:
        self._lease = lease
        self._max_bytes = max_bytes
        self._declared_bytes = declared_bytes
        self._size_bytes = 0
        self._compressed_bytes = 0
        self._pieces: list[bytes] = []

    async def read_all(self, content: StreamReader, layers: int) -> bytes | Rejection:
        decompressor = Decompressor(layers) if layers else None
        if not self._reserve():
            return BUSY
        while not content.at_eof() and (chunk := await content.readany()):
            if decompressor is None and not self._pieces and chunk.startswith(GZIP_MAGIC):
                decompressor, self._declared_bytes = Decompressor(), None
            rejection = (
                await self._decompress(chunk, decompressor) if decompressor else self._keep(chunk)
            )
            if rejection is not None:
                return rejection
        if decompressor is not None:
            decompressor.end()
        self._lease.reserve(self._size_bytes)
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def _decompress(self, compressed: bytes, decompressor: Decompressor) -> Rejection | None:
        self._compressed_bytes += len(compressed)
        if self._compressed_bytes > self._max_bytes:
            return TOO_LARGE
        for piece in decompressor.pieces(compressed):
            rejection = self._keep(piece)
            if rejection is not None:
                return rejection
            await asyncio.sleep(0)  # Decompressing takes time; let other tasks run.
        return None

    def _keep(self, piece: bytes) -> Rejection | None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._max_bytes:
            return TOO_LARGE
        if not self._reserve():
            return BUSY
        self._pieces.append(piece)
        return None

    def _reserve(self) -> bool:
        if self._declared_bytes is not None:
            return self._lease.reserve(self._declared_bytes)
        is_small = self._size_bytes <= SMALL_BYTES
        return self._lease.reserve(self._size_bytes if is_small else self._max_bytes)
