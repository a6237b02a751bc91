"""Knows the days for which the log has partitions, and makes a missing one when it is needed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

import asyncpg
import structlog

from ringback.contract.identity import JobId, created_at
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.housekeeping import clean_up, create_partitions
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.processor.consume.database_watch import DatabaseWatch
from services.processor.log.commit_batcher import CommitBatcher, DatabaseUnavailableError

_PACKAGE = "services.processor.log"
_MAKING_TIMEOUT_S = 3.0
"""Making a day takes milliseconds, or 2 s for its lock."""

Item = TypeVar("Item")
Result = TypeVar("Result")

EnsurePartition = Callable[[JobId], Awaitable[None]]
"""Return once the log has a partition for this id.

Raises DatabaseUnavailableError after the wait.
"""


class PartitionRange:
    """The days (UTC) with a partition, as of the last query."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: frozenset[date] = frozenset()
        self._needed: set[date] = set()

    def hold(self, day: date) -> bool:
        return day in self._known

    async def ensure(self, days: Sequence[date]) -> list[None]:
        """Make sure that the log has these days. Raises one of DATABASE_UNAVAILABLE_ERRORS.

        Days that could not be made are remembered, and `learn` raises until they exist.
        """
        self._needed.update(days)
        await self.learn()
        return [None] * len(days)

    async def learn(self) -> bool:
        """Read the days again, and make those needed and missing.

        Raises one of DATABASE_UNAVAILABLE_ERRORS.
        """
        needed = set(self._needed)
        missing = needed - await self._read()
        if missing:
            await self._pool.execute(load(_PACKAGE, "ensure_days.sql"), sorted(missing))
            self._known |= missing
        self._needed -= needed
        return True

    async def _read(self) -> frozenset[date]:
        rows = await self._pool.fetch(load(_PACKAGE, "partition_days.sql"))
        self._known = frozenset(row["day"] for row in rows)
        return self._known


@asynccontextmanager
async def making_days(
    days: PartitionRange, watch: DatabaseWatch, hold_s: float
) -> AsyncGenerator[EnsurePartition, None]:
    """Combine all requests for a day, so that one maker runs at a time."""

    async def need(job_id: JobId) -> None:
        day = created_at(job_id).date()
        if days.hold(day):
            return
        try:
            # Commits of other days may succeed meanwhile, so the database counts as available.
            async with asyncio.timeout(hold_s + _MAKING_TIMEOUT_S):
                await making.submit(day)
        except TimeoutError as exc:
            raise DatabaseUnavailableError from exc

    async with CommitBatcher(days.ensure, lambda day: day, watch, lanes=1) as making:
        yield need


@dataclass(frozen=True, slots=True)
class CommitsOfDays:
    """Group commits that make a day again if it was dropped since it was read."""

    days: PartitionRange
    watch: DatabaseWatch

    def __call__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        job_id_of: Callable[[Item], JobId],
        lanes: int = 2,
    ) -> CommitBatcher[Item, Result]:
        async def committed(items: Sequence[Item]) -> Sequence[Result]:
            try:
                return await commit(items)
            except asyncpg.CheckViolationError:
                await self.days.ensure([created_at(job_id_of(item)).date() for item in items])
                return await commit(items)

        return CommitBatcher(committed, job_id_of, self.watch, lanes=lanes)


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
