import asyncio

from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.reads.queue_state import LastDay, Processing


class LogState:
    """The database's part of queue health, apart from the dead letters."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, timeout_s: float) -> tuple[Processing, LastDay]:
        """Raises one of DATABASE_UNAVAILABLE_ERRORS, which includes TimeoutError."""
        async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
            now = await connection.fetchrow(load("services.metrics", "processing_now.sql"))
            day = await connection.fetchrow(load("services.metrics", "last_day.sql"))
        # Both statements return one row, even from empty tables.
        assert now is not None
        assert day is not None
        return Processing(**now), LastDay(**day)
