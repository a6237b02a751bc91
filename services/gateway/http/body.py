"""Reads a request body within limits of size, time and memory."""

import asyncio
from dataclasses import dataclass

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from services.gateway.http.decompressor import GZIP_MAGIC, DecompressionError, Decompressor
from services.gateway.http.in_flight import SMALL_BYTES, Lease
from services.gateway.http.rejection import BROKEN_BODY, BUSY, TOO_LARGE, TOO_SLOW, Rejection

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

    A body of unknown size that proves to be large reserves the maximum at once: if many grew step
    by step, they would all be rejected in the end.
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
        while chunk := await content.readany():
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
