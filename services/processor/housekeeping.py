"""Creates the log's days ahead, and drops expired ones."""

import asyncio
from datetime import UTC, date, datetime

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.housekeeping import clean_up, create_partitions
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS

_EVERY_S = 3600.0
_AFTER_FAILURE_S = 5.0

log = structlog.get_logger()


class Housekeeping:
    def __init__(self, pool: asyncpg.Pool, *, retention_days: int) -> None:
        self._pool = pool
        self._retention_days = retention_days
        self._cleaned_on: date | None = None

    async def run(self) -> None:
        """Run every hour, until cancelled. If the database is unavailable, retry soon."""
        while True:
            try:
                await self._keep()
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                log.warning(
                    LogEvent.HOUSEKEEPING_FAILED, reason=type(exc).__name__, detail=str(exc)[:200]
                )
                await asyncio.sleep(_AFTER_FAILURE_S)
            else:
                await asyncio.sleep(_EVERY_S)

    async def _keep(self) -> None:
        await create_partitions(self._pool)
        today = datetime.now(UTC).date()
        if self._cleaned_on != today:
            await clean_up(self._pool, self._retention_days)
            self._cleaned_on = today
