"""Reads a body within its limits of size, time and room."""

import asyncio

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from services.gateway.refusal import BROKEN_BODY, BUSY, TOO_LARGE, TOO_SLOW, Refusal
from services.gateway.room import Place

_BROKEN = (web.RequestPayloadError, HttpProcessingError, OSError)
"""What reading raises when the sender goes away, or sends what it did not announce."""


async def read_body(
    content: StreamReader, *, place: Place, max_bytes: int, timeout_s: float
) -> bytes | Refusal:
    """Read to the end, or say why not. A chunked body is cut when it grows too large."""
    is_whole = content.is_eof()
    if not place.come_in(is_whole=is_whole):
        return BUSY
    try:
        if is_whole:  # No clock is needed.
            return await _read(content, place, max_bytes)
        async with asyncio.timeout(timeout_s):
            return await _read(content, place, max_bytes)
    except TimeoutError:
        return TOO_SLOW
    except _BROKEN:
        return BROKEN_BODY


async def _read(content: StreamReader, place: Place, max_bytes: int) -> bytes | Refusal:
    chunks: list[bytes] = []
    size_bytes = 0
    while chunk := await content.readany():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            return TOO_LARGE
        if not place.take(len(chunk)):
            return BUSY
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
