"""Figures of the log that only Prometheus needs."""

import asyncio
from dataclasses import dataclass

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access


@dataclass(frozen=True, slots=True)
class LogFigures:
    """A snapshot. The six kinds are webhooks of the last 24 hours; ages are in seconds.

    `unfinished` are those that are pending or being processed. `days_ahead`: days after today with
    partitions. `extra_days`: days created because a webhook needed them.
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


class LogFiguresReader:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, timeout_s: float) -> LogFigures | None:
        """None if the log does not answer in time."""
        query = load("services.metrics", "log_figures.sql")
        try:
            async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
                row = await connection.fetchrow(query)
        except DATABASE_UNAVAILABLE_ERRORS:
            return None
        # Each part returns one row, even from empty tables.
        assert row is not None
        return LogFigures(**row)
