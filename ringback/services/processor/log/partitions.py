"""The days for which the log has partitions: created when needed, dropped when expired."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import asyncpg
import structlog

from ringback.contract.identity import JobId, created_at
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.housekeeping import clean_up, create_partitions
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import detail_of
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.log.commit_batcher import (
    CommitBatcher,
    RunsBatchers,
)

_PACKAGE = "ringback.services.processor.log"
_CREATE_TIMEOUT_S = 3.0
"""Creating a day takes milliseconds, or 2 s for its lock."""
_CLEAN_UP_EVERY_S = 3600.0
_AFTER_FAILURE_S = 5.0

Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger()


class Partitions(RunsBatchers):
    """The days (UTC) with a partition, as of the last query. Usable while entered.

    All requests for a day are combined, so that it is created once.
    """

    def __init__(self, pool: asyncpg.Pool, watch: DatabaseWatch, *, wait_s: float) -> None:
        self._pool = pool
        self._wait_s = wait_s
        self._known: frozenset[date] = frozenset()
        self._needed: set[date] = set()
        self._creating = CommitBatcher(self._create, lambda day: day, watch, workers=1)
        super().__init__(self._creating)

    def contains(self, day: date) -> bool:
        return day in self._known

    async def ensure(self, job_id: JobId) -> None:
        """Return once there is a partition for this id.

        Raises DatabaseUnavailableError after the wait.
        """
        day = created_at(job_id).date()
        if self.contains(day):
            return
        try:
            # Commits of other days may succeed meanwhile, so the database counts as available.
            async with asyncio.timeout(self._wait_s + _CREATE_TIMEOUT_S):
                await self._creating.submit(day)
        except TimeoutError as exc:
            raise DatabaseUnavailableError from exc

    async def refresh(self) -> None:
        """Read the days again, and create those needed and missing.

        Raises one of DATABASE_UNAVAILABLE_ERRORS.
        """
        needed = set(self._needed)
        rows = await self._pool.fetch(load(_PACKAGE, "partition_days.sql"))
        self._known = frozenset(row["day"] for row in rows)
        missing = needed - self._known
        if missing:
            await self._pool.execute(load(_PACKAGE, "ensure_days.sql"), sorted(missing))
            self._known |= missing
        self._needed -= needed

    def recreating(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        job_id_of: Callable[[Item], JobId],
    ) -> Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]:
        """Wrap a commit to create a day again if it was dropped since it was read."""

        async def committed(items: Sequence[Item]) -> Sequence[Result]:
            try:
                return await commit(items)
            except asyncpg.CheckViolationError:
                await self._create([created_at(job_id_of(item)).date() for item in items])
                return await commit(items)

        return committed

    async def _create(self, days: Sequence[date]) -> list[None]:
        """Make sure that the log has these days.

        Days that could not be created are remembered, and `refresh` raises until they exist.
        """
        self._needed.update(days)
        await self.refresh()
        return [None] * len(days)


async def clean_up_hourly(pool: asyncpg.Pool, *, retention_days: int) -> None:
    """Every hour create the partitions of the next days; once a day drop expired ones."""
    cleaned_on: date | None = None
    while True:
        try:
            await create_partitions(pool)
            today = datetime.now(UTC).date()
            if cleaned_on != today:
                await clean_up(pool, retention_days)
                cleaned_on = today
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            log.warning(
                LogEvent.HOUSEKEEPING_FAILED, reason=type(exc).__name__, detail=detail_of(exc)
            )
            await asyncio.sleep(_AFTER_FAILURE_S)
        else:
            await asyncio.sleep(_CLEAN_UP_EVERY_S)
