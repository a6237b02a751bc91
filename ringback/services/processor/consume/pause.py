"""Watches what people decide, by notifications and queries: a pause, and destinations' states."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import asyncpg

from ringback.runtime.outgoing.breaker import BreakerState
from ringback.runtime.postgres.pool import CONNECT_TIMEOUT_S, DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.services.processor.destinations import ForcedStates
from ringback.services.processor.instruments import ProcessorInstruments

_CHANNELS = ("webhook_processing", "webhook_destinations")
_PACKAGE = "ringback.services.processor.consume"
_QUERY_EVERY_S = 2.0
_QUERY_TIMEOUT_S = 3.0
_RECONNECT_WAIT_S = 0.5
_CLOSE_TIMEOUT_S = 1.0


class Pausable(Protocol):
    async def pause(self) -> None:
        """Stop consuming."""

    async def resume(self) -> None:
        """Resume consuming."""


class PauseListener:
    """Pauses and resumes the consumers, and forces the states of destinations.

    It has its own connection, because only the session that listens gets notifications. Queries
    make up for a lost notification and detect a dead connection. While the database is unavailable
    the last answer is valid; before the first answer, nothing may be consumed.
    """

    def __init__(
        self, database_url: str, consumers: Pausable, instruments: ProcessorInstruments
    ) -> None:
        self._database_url = database_url
        self._consumers = consumers
        self._instruments = instruments
        self._paused: bool | None = None
        self._forced = ForcedStates()
        self._listener_down = False

    @property
    def is_paused(self) -> bool:
        """Whether a pause is known, and the consumers were notified."""
        return self._paused is True

    @property
    def may_process(self) -> bool:
        """Whether it is known that processing is not paused."""
        return self._paused is False

    async def has_answer(self) -> bool:
        """Whether the database has answered at least once."""
        return self._paused is not None

    async def run(self) -> None:
        """Listen until cancelled. A lost connection is opened again."""
        while True:
            try:
                async with self._connect() as connection:
                    await self.listen(connection)
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                if not self._listener_down:
                    self._instruments.pause_unknown(exc)
                self._listener_down = True
            await asyncio.sleep(_RECONNECT_WAIT_S)

    async def listen(
        self, connection: asyncpg.Connection, *, query_every_s: float = _QUERY_EVERY_S
    ) -> None:
        """Query after each notification and at intervals.

        Raises one of DATABASE_UNAVAILABLE_ERRORS.
        """
        changed = asyncio.Event()
        connection.add_termination_listener(lambda _: changed.set())
        # Listen before the query: then a change in between sends a notification.
        for channel in _CHANNELS:
            await connection.add_listener(channel, lambda *_: changed.set())
        while True:
            changed.clear()
            await self._query(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(query_every_s):
                    await changed.wait()

    async def _query(self, connection: asyncpg.Connection) -> None:
        row = await connection.fetchrow(
            load(_PACKAGE, "processing_state.sql"), timeout=_QUERY_TIMEOUT_S
        )
        forced = await connection.fetch(
            load(_PACKAGE, "forced_destinations.sql"), timeout=_QUERY_TIMEOUT_S
        )
        self._forced.apply({one["name"]: BreakerState(one["forced_state"]) for one in forced})
        self._listener_down = False
        paused = row is not None and row["paused"]
        if paused == self._paused:
            return
        await (self._consumers.pause() if paused else self._consumers.resume())
        if paused or self._paused is not None:
            self._instruments.paused(
                is_paused=paused,
                changed_by=row["changed_by"] if row else None,
                reason=row["reason"] if row else None,
            )
        self._paused = paused

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[asyncpg.Connection, None]:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=_QUERY_TIMEOUT_S,
            server_settings={"application_name": "ringback-processor-pause"},
        )
        try:
            yield connection
        finally:
            with suppress(*DATABASE_UNAVAILABLE_ERRORS):
                await connection.close(timeout=_CLOSE_TIMEOUT_S)
