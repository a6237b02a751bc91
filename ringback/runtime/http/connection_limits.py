"""Limits open connections: how many, how long they may be idle, and their unfinished headers."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

_MIB = 1024 * 1024

MAX_HEAD_BYTES = 32 * 1024
"""Vapi's headers have about 1 kB; proxies add cookies, certificates and traces."""

MAX_PARTIAL_HEADS_BYTES = 16 * _MIB
"""The limit for all unfinished heads together."""

MAX_LINGERING = 32
"""How many connections may at once read and discard the rest of a rejected body."""

UNTRUSTED_IDLE_S = 10.0
"""How long an untrusted connection may be idle, and a trusted one before it can be evicted."""

TRUSTED_IDLE_S = 650.0
"""Longer than load balancers keep idle connections; Google's keep them for 600 s."""

NO_IDLE_TIMEOUT_S = 86_400.0
"""For aiohttp's own idle timeout: `ConnectionLimits` decides how long a connection may be idle."""

_CLOSE_SLOW_EVERY_S = 1.0


class CloseReason(StrEnum):
    """Why a server closed a connection before it sent a request."""

    SLOW = "slow"
    LARGE_HEAD = "large_head"
    EVICTED = "evicted"


class Connection(Protocol):
    def close_for(self, reason: CloseReason) -> None:
        """Close, even if the other side reads nothing."""


class ConnectionLimits:
    """A connection is trusted once one of its requests was accepted.

    An untrusted connection has 10 s for the head of each request. At the maximum number of
    connections, a new one evicts the untrusted one that has been idle longest, or else a trusted
    one that has been idle for 10 s. So thousands of connections without a secret cannot block
    others. A connection with a request in flight is never evicted.
    """

    def __init__(
        self,
        max_connections: int,
        *,
        on_close: Callable[[CloseReason], None],
        clock: Callable[[], float] = time.monotonic,
        max_partial_heads_bytes: int = MAX_PARTIAL_HEADS_BYTES,
        trusted_idle_s: float = TRUSTED_IDLE_S,
    ) -> None:
        self._max_connections = max_connections
        self._on_close = on_close
        self._clock = clock
        self._max_partial_heads_bytes = max_partial_heads_bytes
        self._trusted_idle_s = trusted_idle_s
        self._open: set[Connection] = set()
        self._trusted: set[Connection] = set()
        self._untrusted_since: dict[Connection, float] = {}
        self._trusted_since: dict[Connection, float] = {}
        self._head_bytes: dict[Connection, int] = {}
        self._all_head_bytes = 0
        self._lingering: set[Connection] = set()
        self._none_open: asyncio.Event | None = None

    @property
    def count(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> None:
        """Register a connection; at the maximum, evict one, which may be the new one."""
        self._open.add(connection)
        if len(self._open) > self._max_connections:
            self._close(self._eviction_candidate() or connection, CloseReason.EVICTED)
        if connection in self._open:
            self._untrusted_since[connection] = self._clock()

    def _eviction_candidate(self) -> Connection | None:
        """The untrusted connection that has been idle longest, or else a trusted one."""
        untrusted = next(iter(self._untrusted_since), None)
        if untrusted is not None:
            return untrusted
        trusted, since_s = next(iter(self._trusted_since.items()), (None, 0.0))
        return trusted if self._clock() - since_s >= UNTRUSTED_IDLE_S else None

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._trusted.discard(connection)
        self._lingering.discard(connection)
        self.request_started(connection)
        if not self._open and self._none_open is not None:
            self._none_open.set()

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        self._none_open = asyncio.Event()
        if self._open:
            await self._none_open.wait()

    def request_started(self, connection: Connection) -> None:
        """The whole head of a request has arrived."""
        self._untrusted_since.pop(connection, None)
        self._trusted_since.pop(connection, None)
        if self._head_bytes:
            self._all_head_bytes -= self._head_bytes.pop(connection, 0)

    def request_finished(self, connection: Connection, *, accepted: bool) -> None:
        """The request has its response, so the connection is idle until the next one."""
        if connection not in self._open:
            return
        self.request_started(connection)  # It may count as idle already; start again.
        if accepted:
            self._trusted.add(connection)
        waiting = self._trusted_since if connection in self._trusted else self._untrusted_since
        waiting[connection] = self._clock()

    def received_partial_head(self, connection: Connection, size_bytes: int) -> None:
        """Part of a head has arrived. If all parts together are too large, evict the oldest."""
        head_bytes = self._head_bytes.get(connection, 0) + size_bytes
        self._head_bytes[connection] = head_bytes
        self._all_head_bytes += size_bytes
        if head_bytes > MAX_HEAD_BYTES:
            self.request_started(connection)  # It gets a response, like a request.
            connection.close_for(CloseReason.LARGE_HEAD)
        while self._all_head_bytes > self._max_partial_heads_bytes:
            self._close(next(iter(self._head_bytes)), CloseReason.EVICTED)

    def has_request_in_flight(self, connection: Connection) -> bool:
        """Whether a request is being handled."""
        waiting = connection in self._untrusted_since or connection in self._trusted_since
        return connection in self._open and not waiting

    def may_linger(self, connection: Connection) -> bool:
        """Whether to read and discard the rest of a rejected body.

        Without it the sender may see a connection reset instead of the response.
        """
        if len(self._lingering) >= MAX_LINGERING:
            return False
        self._lingering.add(connection)
        return True

    async def keep_closing_slow(self) -> None:
        """Close slow connections once a second, until cancelled."""
        while True:
            await asyncio.sleep(_CLOSE_SLOW_EVERY_S)
            self.close_slow()

    def close_slow(self) -> None:
        """Close connections that have been idle too long."""
        now = self._clock()
        for since, max_idle_s in (
            (self._untrusted_since, UNTRUSTED_IDLE_S),
            (self._trusted_since, self._trusted_idle_s),
        ):
            # The oldest come first.
            while since and now - next(iter(since.values())) > max_idle_s:
                self._close(next(iter(since)), CloseReason.SLOW)

    def count_closed(self, reason: CloseReason) -> None:
        self._on_close(reason)

    def has_partial_head(self, connection: Connection) -> bool:
        """Whether part of a head has arrived."""
        return connection in self._head_bytes

    def _close(self, connection: Connection, reason: CloseReason) -> None:
        connection.close_for(reason)
        self._on_close(reason)
        self.closed(connection)
