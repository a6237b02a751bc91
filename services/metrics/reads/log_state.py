import asyncio

from ringback.runtime.queries import load
from services.metrics.access import Access
from services.metrics.reads.queue_state import LastDay, Processing


class LogState:
    """What the database knows of the queues' health, apart from the dead letters."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, timeout_s: float) -> tuple[Processing, LastDay]:
        """Raises one of DATABASE_AWAY, TimeoutError among them."""
        async with asyncio.timeout(timeout_s), self._access.as_service(timeout_s) as connection:
            now = await connection.fetchrow(load("services.metrics", "processing_now.sql"))
            day = await connection.fetchrow(load("services.metrics", "last_day.sql"))
        # Both statements give one row, whatever the tables hold.
        assert now is not None
        assert day is not None
        return Processing(**now), LastDay(**day)
