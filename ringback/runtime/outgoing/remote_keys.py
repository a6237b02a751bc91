"""Key sets (JWKS) at URLs: fetched in advance, kept for an hour, and refreshed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Self

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.key_set import KeysById, VerificationKey, keys_in
from ringback.runtime.outgoing.breaker import BreakerRules, CircuitBreaker, Destination
from ringback.runtime.outgoing.client import OutgoingClient, OutgoingError, Request
from ringback.runtime.process.background import run_in_background

_REFRESH_AFTER_S = 300.0
_MAX_AGE_S = 3600.0
"""Keys are not trusted for longer without a newer key set, because one may be revoked."""
_MIN_INTERVAL_S = 30.0
"""The shortest time between two fetches, because anyone can send tokens with unknown keys."""
_RETRY_AFTER_S = 5.0
_LOOK_EVERY_S = 1.0
_TIMEOUT_S = 2.0
_MAX_BYTES = 1024 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ringback"}
_BREAKER = BreakerRules(open_s=1.0, max_open_s=1.0)
"""Fetches are rare already, so the breaker must not delay the next one."""


@dataclass(eq=False)
class RemoteKeySet:
    """The keys at a URL. Keys that are too old count as unknown."""

    url: str
    clock: Callable[[], float] = time.monotonic
    _keys: KeysById = field(default_factory=dict)
    _fetched_at_s: float | None = None
    _next_fetch_s: float = 0.0
    _fetching: asyncio.Task[None] | None = None
    _is_failing: bool = False
    _destination: Destination = field(
        default_factory=lambda: Destination(1, CircuitBreaker(_BREAKER))
    )

    def key_of(self, key_id: object) -> VerificationKey | None:
        return self._keys.get(key_id) if isinstance(key_id, str) and self._is_usable() else None

    def may_lack_keys(self) -> bool:
        """Whether a key that is missing here may be valid: the keys may have changed since."""
        return self._may_fetch() or self._is_failing or not self._is_usable()

    def should_refresh(self) -> bool:
        return self._age_s() >= _REFRESH_AFTER_S and self._may_fetch()

    def _is_usable(self) -> bool:
        return self._age_s() <= _MAX_AGE_S

    def _may_fetch(self) -> bool:
        return self.clock() >= self._next_fetch_s

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at_s is None else self.clock() - self._fetched_at_s

    async def refresh(self, client: OutgoingClient) -> None:
        """Fetch the keys, unless that was just done. Callers at the same time share one fetch."""
        if self._fetching is None:
            if not self._may_fetch():
                return
            self._fetching = asyncio.create_task(self._fetch(client))
        # A caller that is cancelled does not end the fetch of the others.
        await asyncio.wait([self._fetching])

    async def _fetch(self, client: OutgoingClient) -> None:
        log = structlog.get_logger()
        try:
            self._keys = keys_in(await self._document(client), self.url)
        except (OutgoingError, ValueError) as exc:
            self._next_fetch_s = self.clock() + _RETRY_AFTER_S
            if not self._is_failing:
                self._is_failing = True
                log.warning(LogEvent.KEYS_UNAVAILABLE, url=self.url, reason=str(exc))
        else:
            self._fetched_at_s = self.clock()
            self._next_fetch_s = self._fetched_at_s + _MIN_INTERVAL_S
            if self._is_failing:
                self._is_failing = False
                log.info(LogEvent.KEYS_RECOVERED, url=self.url)
        finally:
            self._fetching = None

    async def _document(self, client: OutgoingClient) -> bytes:
        """Raises OutgoingError, and ValueError if the response is not usable."""
        request = Request(
            url=self.url, headers=_HEADERS, timeout_s=_TIMEOUT_S, max_answer_bytes=_MAX_BYTES
        )
        response = await client.send(self._destination, request)
        if response.status != 200:  # ruff: ignore[magic-value-comparison]  # OK
            raise ValueError(f"{self.url} answered with status {response.status}")
        return response.body


@cache
def remote_key_set(url: str) -> RemoteKeySet:
    """The one key set of a URL in this process, so that a reload does not forget its keys."""
    return RemoteKeySet(url)


class KeyRefresher:
    """Fetches the current key sets again and again, while running."""

    def __init__(self, sets: Callable[[], Iterable[RemoteKeySet]], client: OutgoingClient) -> None:
        self._sets = sets
        self._client = client

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        async with self._client.running(), run_in_background(self._refresh_forever):
            yield self

    async def refresh(self, sets: Iterable[RemoteKeySet]) -> None:
        """Fetch these key sets, if they may have changed."""
        await asyncio.gather(*(one.refresh(self._client) for one in sets))

    async def _refresh_forever(self) -> None:
        while True:
            await self.refresh([one for one in self._sets() if one.should_refresh()])
            await asyncio.sleep(_LOOK_EVERY_S)
