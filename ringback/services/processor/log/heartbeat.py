"""Reports once a second in the database that this processor runs and what is in flight."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import detail_of

_PACKAGE = "ringback.services.processor.log"
_EVERY_S = 1.0
_TIMEOUT_S = 2.0
_LEAVE_TIMEOUT_S = 1.0

log = structlog.get_logger()


class Heartbeat:
    """Keep a row under an id of its own while it runs, and delete it at the end.

    It uses a connection for one statement and stops waiting after two seconds, because finishing
    webhooks has priority. A failed beat needs no repetition: the next one has all values.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        in_flight: Callable[[], int],
        is_paused: Callable[[], bool],
        destinations: Callable[[], str],
    ) -> None:
        self._pool = pool
        self._in_flight = in_flight
        self._is_paused = is_paused
        self._destinations = destinations
        self._id = uuid4()
        self._started_at = datetime.now(UTC)
        self._is_failing = False

    async def run(self) -> None:
        """Write the row once a second, until cancelled."""
        try:
            while True:
                await self._beat()
                await asyncio.sleep(_EVERY_S)
        finally:
            with suppress(*DATABASE_UNAVAILABLE_ERRORS):
                await self._execute("delete_heartbeat.sql", self._id, timeout_s=_LEAVE_TIMEOUT_S)

    async def _beat(self) -> None:
        try:
            await self._execute(
                "record_heartbeat.sql",
                self._id,
                self._in_flight(),
                self._is_paused(),
                self._started_at,
                self._destinations(),
                timeout_s=_TIMEOUT_S,
            )
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            if not self._is_failing:
                log.warning(
                    LogEvent.HEARTBEAT_FAILED, reason=type(exc).__name__, detail=detail_of(exc)
                )
            self._is_failing = True
        else:
            self._is_failing = False

    async def _execute(self, name: str, *arguments: object, timeout_s: float) -> None:
        async with self._pool.acquire(timeout=timeout_s) as connection:
            await connection.execute(load(_PACKAGE, name), *arguments, timeout=timeout_s)
