import asyncio

import asyncpg

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load


class DeadLetterCount:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self, timeout_s: float) -> int | None:
        """Count the unresolved dead letters in the log; None if it does not answer in time."""
        query = load("services.metrics", "unresolved_dead_letters.sql")
        try:
            async with asyncio.timeout(timeout_s):
                return int(await self._pool.fetchval(query))
        except DATABASE_UNAVAILABLE_ERRORS:
            return None
