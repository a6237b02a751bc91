"""Makes the days ahead, drops the days behind, and knows which days the log can hold."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.housekeeping import clean_up, make_days
from ringback.runtime.postgres import DATABASE_AWAY
from ringback.runtime.queries import load
from services.processor.delivery import Days

_PACKAGE = "services.processor"
_EVERY_S = 3600.0
_AFTER_FAILURE_S = 5.0

log = structlog.get_logger()


class Housekeeping:
    def __init__(self, pool: asyncpg.Pool, *, retention_days: int, may_change: bool) -> None:
        self._pool = pool
        self._retention_days = retention_days
        self._may_change = may_change
        self._days: Days | None = None
        self._cleaned_on: date | None = None

    def days(self) -> Days:
        """The days that the log holds. Before the database has told, today and its neighbours."""
        if self._days is not None:
            return self._days
        today = datetime.now(UTC).date()
        return Days(frozenset(today + timedelta(days=away) for away in (-1, 0, 1)))

    async def learn(self) -> bool:
        """Ask the database which days it holds; raises one of DATABASE_AWAY when it is away."""
        rows = await self._pool.fetch(load(_PACKAGE, "partition_days.sql"))
        if not rows:
            raise asyncpg.UndefinedTableError("The delivery log has no partition.")
        self._days = Days(frozenset(row["day"] for row in rows))
        return True

    async def run(self) -> None:
        """Keep house every hour, until cancelled. A database that is away is asked again soon."""
        while True:
            try:
                if self._may_change:
                    await self._keep()
                await self.learn()
            except DATABASE_AWAY as exc:
                log.warning(
                    LogEvent.HOUSEKEEPING_FAILED, reason=type(exc).__name__, detail=str(exc)[:200]
                )
                await asyncio.sleep(_AFTER_FAILURE_S)
            else:
                await asyncio.sleep(_EVERY_S)

    async def _keep(self) -> None:
        await make_days(self._pool)
        today = datetime.now(UTC).date()
        if self._cleaned_on != today:
            await clean_up(self._pool, self._retention_days)
            self._cleaned_on = today
