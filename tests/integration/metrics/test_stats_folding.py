"""Folding in the background, with a real database that comes and goes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ringback.local.database import PrivateDatabase
from ringback.runtime.postgres.migrate import migrate
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.settings import DatabaseSettings
from ringback.services.metrics.polling.stats_folding import fold_stats
from tests.integration.migrations.log_calls import ORG, Webhook, accept
from tests.integration.migrations.stats_calls import buckets, deltas, hour_of
from tests.support.eventually import eventually


@asynccontextmanager
async def folding(database_url: str) -> AsyncGenerator[None, None]:
    """As the metrics service does it, with its role."""
    settings = DatabaseSettings(database_url=f"{database_url}?role=ringback_metrics")
    async with open_pool(settings, "folding") as pool:
        task = asyncio.create_task(fold_stats(pool, interval_s=0.05))
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until_folded(connection: asyncpg.Connection) -> None:
    async def is_folded() -> bool:
        return await deltas(connection) == 0

    await eventually(is_folded, deadline_s=20)


@pytest.mark.slow
async def test_folding_and_pruning_continue_after_a_database_outage(
    own_database: PrivateDatabase,
) -> None:
    """A database that stops for a while ends nothing; expired data is deleted at the start."""
    await migrate(own_database.url())
    long_ago = hour_of(datetime.now(UTC)) - timedelta(days=33)
    connection = await asyncpg.connect(own_database.url())
    await connection.execute(
        "INSERT INTO webhook_stats VALUES ($1, 'hour', $2, 'hang', 1, 0, 0, 0, 0, 1)", ORG, long_ago
    )

    async def is_pruned() -> bool:
        return not await buckets(connection, ORG)

    async with folding(own_database.url()):
        await eventually(is_pruned)
        await own_database.restart()
        again = await asyncpg.connect(own_database.url())
        await accept(again, Webhook())

        await until_folded(again)
        await again.close()
