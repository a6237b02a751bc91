"""What the metrics service needs to answer calls."""

from dataclasses import dataclass

import asyncpg

from ringback.runtime.postgres.pool import is_writable, ping
from services.metrics.queue_depths import QueueDepths


@dataclass(frozen=True, slots=True)
class Readiness:
    """Each check returns whether it passes, or raises if it cannot run; it has no own deadline."""

    pool: asyncpg.Pool
    queues: QueueDepths

    async def database(self) -> bool:
        return await ping(self.pool)

    async def database_writable(self) -> bool:
        return await is_writable(self.pool)

    async def broker(self) -> bool:
        return await self.queues.answers()

    async def both(self) -> bool:
        return await self.broker() and await self.database()
