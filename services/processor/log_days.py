"""Which days the log has partitions for. One that is missing is made when a webhook needs it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date

import asyncpg

from ringback.contract.identity import JobId
from ringback.runtime.queries import load

_PACKAGE = "services.processor"

NeedDay = Callable[[JobId], Awaitable[None]]
"""Return once the log has a partition for this id. Raises DatabaseAwayError after the hold."""


class LogDays:
    """The days (UTC) that the log holds, as far as the database was asked."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: frozenset[date] = frozenset()
        self._needed: set[date] = set()

    def hold(self, day: date) -> bool:
        return day in self._known

    async def ensure(self, days: Sequence[date]) -> list[None]:
        """Make sure that the log holds these days. Raises one of DATABASE_AWAY.

        Days that could not be made are remembered, and `learn` raises until they are there.
        """
        self._needed.update(days)
        await self.learn()
        return [None] * len(days)

    async def learn(self) -> bool:
        """Read the days again, and make what is needed and missing. Raises one of DATABASE_AWAY."""
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
