"""Reads a body within its limits of size, time and room."""

import asyncio
from dataclasses import dataclass

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from services.gateway.refusal import BROKEN_BODY, BUSY, TOO_LARGE, TOO_SLOW, Refusal
from services.gateway.room import SMALL_BYTES, Place
from services.gateway.unpack import GZIP_MAGIC, BrokenPackingError, Unpacking

_BROKEN = (web.RequestPayloadError, HttpProcessingError, OSError, BrokenPackingError)
"""What reading raises when the sender goes away, or sends what it did not announce."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the head says of a body: its size, if it has one, and how often it is compressed."""

    size_bytes: int | None
    layers: int


async def read_body(
    content: StreamReader, announced: Announced, *, place: Place, max_bytes: int, timeout_s: float
) -> bytes | Refusal:
    """Read to the end, or say why not. A chunked body is cut when it grows too large.

    A compressed one is unpacked, and counts by what it unpacks to.
    """
    is_whole = content.is_eof()
    if not place.come_in(is_whole=is_whole):
        return BUSY
    known_bytes = None if announced.layers else announced.size_bytes
    reading = _Reading(place, max_bytes, known_bytes)
    try:
        if is_whole:  # No clock is needed.
            return await reading.to_the_end(content, announced.layers)
        async with asyncio.timeout(timeout_s):
            return await reading.to_the_end(content, announced.layers)
    except TimeoutError:
        return TOO_SLOW
    except _BROKEN:
        return BROKEN_BODY


class _Reading:
    """Collects one body. Each piece has its bytes reserved before it is kept.

    A large one has all of them reserved before it is read on: where many grow side by side, each
    would in the end be refused for the others.
    """

    def __init__(self, place: Place, max_bytes: int, known_bytes: int | None) -> None:
        self._place = place
        self._max_bytes = max_bytes
        self._known_bytes = known_bytes
        self._size_bytes = 0
        self._packed_bytes = 0
        self._pieces: list[bytes] = []

    async def to_the_end(self, content: StreamReader, layers: int) -> bytes | Refusal:
        unpacking = Unpacking(layers) if layers else None
        if not self._has_room():
            return BUSY
        while chunk := await content.readany():
            if unpacking is None and not self._pieces and chunk.startswith(GZIP_MAGIC):
                unpacking, self._known_bytes = Unpacking(), None
            refused = await self._unpack(chunk, unpacking) if unpacking else self._keep(chunk)
            if refused is not None:
                return refused
        if unpacking is not None:
            unpacking.end()
        self._place.hold(self._size_bytes)
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def _unpack(self, packed: bytes, unpacking: Unpacking) -> Refusal | None:
        self._packed_bytes += len(packed)
        if self._packed_bytes > self._max_bytes:
            return TOO_LARGE
        for piece in unpacking.pieces(packed):
            refused = self._keep(piece)
            if refused is not None:
                return refused
            await asyncio.sleep(0)  # This takes time, and others have their turn meanwhile.
        return None

    def _keep(self, piece: bytes) -> Refusal | None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._max_bytes:
            return TOO_LARGE
        if not self._has_room():
            return BUSY
        self._pieces.append(piece)
        return None

    def _has_room(self) -> bool:
        if self._known_bytes is not None:
            return self._place.hold(self._known_bytes)
        is_small = self._size_bytes <= SMALL_BYTES
        return self._place.hold(self._size_bytes if is_small else self._max_bytes)
