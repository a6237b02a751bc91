"""One attacker's connection, which records the answers."""

import asyncio
import re
from collections import Counter
from typing import cast

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_MAX_STATUS_BYTES = 16

CLOSED = "closed without an answer"
NOT_CONNECTED = "not connected"


class Connection(asyncio.Protocol):
    """Counts the status of each answer, and a close without one."""

    def __init__(self, answers: Counter[str]) -> None:
        self._answers = answers
        self._tail = b""
        self._answered = 0
        self._changed = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        seen = self._tail + data
        ends = 0
        for found in _STATUS.finditer(seen):
            self._answers[found[1].decode()] += 1
            self._answered += 1
            ends = found.end()
        self._tail = seen[max(ends, len(seen) - _MAX_STATUS_BYTES) :]
        self._changed.set()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._answered and not self.transport.is_closing():
            self._answers[CLOSED] += 1
        self.closed.set()
        self._changed.set()
        self._can_write.set()

    async def send(self, data: bytes) -> bool:
        """Write as fast as the other side reads; False when it has closed."""
        if not self.closed.is_set():
            self.transport.write(data)
            await self._can_write.wait()
        return not self.closed.is_set()

    async def answers(self, count: int) -> bool:
        """Return once this many answers have arrived in all; False if it was closed before."""
        while self._answered < count and not self.closed.is_set():
            self._changed.clear()
            await self._changed.wait()
        return self._answered >= count

    def leave(self) -> None:
        self.transport.abort()


async def connect(host: str, port: int, answers: Counter[str]) -> Connection | None:
    """A connection, or None, counted, if the other side accepts none."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(lambda: Connection(answers), host, port)
    except OSError:
        answers[NOT_CONNECTED] += 1
        await asyncio.sleep(0.1)
        return None
    return connection
