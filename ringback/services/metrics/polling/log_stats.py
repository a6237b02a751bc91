"""Reads the log for the gauges and the queue health."""

import asyncio
from dataclasses import dataclass

import asyncpg

from ringback.contract.status import WaitReason
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.polling.recent_rates import LastDay
from ringback.services.metrics.queries.queue_snapshot import Processing, WaitCount, Waits

_PACKAGE = "ringback.services.metrics.polling"


@dataclass(frozen=True, slots=True)
class LogStats:
    """Numbers that only Prometheus needs; ages are in seconds.

    `completed` to `duplicate` count webhooks of the last 24 hours; `unfinished` are those that are
    pending or being processed. `days_ahead`: days after today with partitions. `extra_days`: days
    created because a webhook needed them.
    """

    accepted: int
    deficit: int
    oldest_pending_s: float
    oldest_failed_s: float
    days_ahead: int
    extra_days: int
    completed: int
    failed: int
    dead_letter: int
    unfinished: int
    duplicate: int


class LogReader:
    """Each method raises one of DATABASE_UNAVAILABLE_ERRORS, which includes TimeoutError."""

    def __init__(self, pool: asyncpg.Pool, access: Access) -> None:
        self._pool = pool
        self._access = access

    async def stats(self, timeout_s: float) -> LogStats:
        query = load(_PACKAGE, "log_stats.sql")
        async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
            row = await connection.fetchrow(query)
        # Each part returns one row, even from empty tables.
        assert row is not None
        return LogStats(**row)

    async def state(self, timeout_s: float) -> tuple[Processing, LastDay]:
        """What queue health needs from the database, except the count of dead letters."""
        async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
            now = await connection.fetchrow(load(_PACKAGE, "processing_now.sql"))
            day = await connection.fetchrow(load(_PACKAGE, "last_day.sql"))
        # Both statements return one row, even from empty tables.
        assert now is not None
        assert day is not None
        return Processing(**now), LastDay(**day)

    async def waits(self, timeout_s: float) -> Waits:
        """The webhooks that wait in the database, by reason."""
        async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
            rows = await connection.fetch(load(_PACKAGE, "waits.sql"))
        return {
            WaitReason(row["reason"]): WaitCount(row["count"], row["overdue_s"]) for row in rows
        }

    async def unresolved_dead_letters(self, timeout_s: float) -> int:
        query = load(_PACKAGE, "unresolved_dead_letters.sql")
        async with asyncio.timeout(timeout_s):
            return int(await self._pool.fetchval(query))
