"""Which connections are open, which wait for a request, and which are closed first when full."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

_MIB = 1024 * 1024

LONGEST_HEAD_BYTES = 32 * 1024
"""Vapi's headers have about 1 kB; proxies add cookies, certificates and traces."""

MOST_HEAD_BYTES = 16 * _MIB
"""The limit for all unfinished heads together."""

MOST_LINGERING = 32
"""How many connections at once may have the rest of a refused body read and discarded."""

STRANGER_WAITS_S = 10.0
"""How long an untrusted connection may wait, and a trusted one before it can be evicted."""

KNOWN_WAITS_S = 650.0
"""Longer than load balancers keep idle connections; Google's keep them for 600 s."""


NO_IDLE_TIMEOUT_S = 86_400.0
"""For aiohttp's own idle timeout, because `Connections` decides how long a connection may wait."""

_CUT_SLOW_EVERY_S = 1.0


class CutFor(StrEnum):
    """Why we closed a connection before it sent a request."""

    SLOW = "slow"
    LARGE_HEAD = "large_head"
    EVICTED = "evicted"


class Connection(Protocol):
    def cut(self, why: CutFor) -> None:
        """Close, whether or not the other side reads."""


class Connections:
    """Limits the number of connections, their waiting time, and the size of their unfinished heads.

    A connection is trusted once it has delivered a webhook that was accepted. All others are
    untrusted: they get 10 s for the head of each request, and when the server is full, the one that
    has waited longest is closed for a new one. So thousands of connections without a secret cannot
    keep other clients out. If there are no untrusted connections, a trusted one that has been idle
    for 10 s is closed instead. A connection with a request in flight is never closed.
    """

    def __init__(
        self,
        most: int,
        *,
        cut: Callable[[CutFor], None],
        clock: Callable[[], float] = time.monotonic,
        most_head_bytes: int = MOST_HEAD_BYTES,
        known_waits_s: float = KNOWN_WAITS_S,
    ) -> None:
        self._most = most
        self._cut_counter = cut
        self._clock = clock
        self._most_head_bytes = most_head_bytes
        self._known_waits_s = known_waits_s
        self._open: set[Connection] = set()
        self._known: set[Connection] = set()
        self._strangers_since: dict[Connection, float] = {}
        self._known_since: dict[Connection, float] = {}
        self._head_bytes: dict[Connection, int] = {}
        self._all_head_bytes = 0
        self._lingering: set[Connection] = set()
        self._none_open: asyncio.Event | None = None

    @property
    def count(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> None:
        """Wait for the first request.

        When the server is full, close one connection, perhaps this one.
        """
        self._open.add(connection)
        if len(self._open) > self._most:
            self._cut(self._first_to_go() or connection, CutFor.EVICTED)
        if connection in self._open:
            self._strangers_since[connection] = self._clock()

    def _first_to_go(self) -> Connection | None:
        """The untrusted connection that has waited longest, or else the trusted one."""
        stranger = next(iter(self._strangers_since), None)
        if stranger is not None:
            return stranger
        known, since_s = next(iter(self._known_since.items()), (None, 0.0))
        return known if self._clock() - since_s >= STRANGER_WAITS_S else None

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._known.discard(connection)
        self._lingering.discard(connection)
        self.begins(connection)
        if not self._open and self._none_open is not None:
            self._none_open.set()

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        self._none_open = asyncio.Event()
        if self._open:
            await self._none_open.wait()

    def begins(self, connection: Connection) -> None:
        """The connection has received the whole head of a request."""
        self._strangers_since.pop(connection, None)
        self._known_since.pop(connection, None)
        if self._head_bytes:
            self._all_head_bytes -= self._head_bytes.pop(connection, 0)

    def ends(self, connection: Connection, *, accepted: bool) -> None:
        """The request is answered, so the connection may send the next one."""
        if connection not in self._open:
            return
        self.begins(connection)  # It may have waited already; restart its wait.
        if accepted:
            self._known.add(connection)
        waiting = self._known_since if connection in self._known else self._strangers_since
        waiting[connection] = self._clock()

    def head_grows(self, connection: Connection, size_bytes: int) -> None:
        """Part of a head has arrived. If all heads together are too large, close the oldest."""
        held = self._head_bytes.get(connection, 0) + size_bytes
        self._head_bytes[connection] = held
        self._all_head_bytes += size_bytes
        if held > LONGEST_HEAD_BYTES:
            self.begins(connection)  # It gets an answer, like a request.
            connection.cut(CutFor.LARGE_HEAD)
        while self._all_head_bytes > self._most_head_bytes:
            self._cut(next(iter(self._head_bytes)), CutFor.EVICTED)

    def has_in_flight(self, connection: Connection) -> bool:
        """Whether it sent a request whose answer is not decided yet."""
        waiting = connection in self._strangers_since or connection in self._known_since
        return connection in self._open and not waiting

    def may_linger(self, connection: Connection) -> bool:
        """Whether to read the rest of a body after refusing it.

        This is a courtesy: without it the sender may see a reset instead of the answer.
        """
        if len(self._lingering) >= MOST_LINGERING:
            return False
        self._lingering.add(connection)
        return True

    async def keep_cutting_slow(self) -> None:
        """Close slow connections once a second, until cancelled."""
        while True:
            await asyncio.sleep(_CUT_SLOW_EVERY_S)
            self.cut_slow()

    def cut_slow(self) -> None:
        """Close connections that have waited too long."""
        now = self._clock()
        for since, longest_s in (
            (self._strangers_since, STRANGER_WAITS_S),
            (self._known_since, self._known_waits_s),
        ):
            # The oldest come first.
            while since and now - next(iter(since.values())) > longest_s:
                self._cut(next(iter(since)), CutFor.SLOW)

    def count_cut(self, why: CutFor) -> None:
        self._cut_counter(why)

    def has_begun(self, connection: Connection) -> bool:
        """Whether part of a head has arrived."""
        return connection in self._head_bytes

    def _cut(self, connection: Connection, why: CutFor) -> None:
        connection.cut(why)
        self._cut_counter(why)
        self.closed(connection)
