"""What the tests of the console's sign-in share."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.settings import DatabaseSettings
from tests.support.database_roles import METRICS, url_as


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    settings = DatabaseSettings(database_url=url_as(database_url, METRICS), database_pool_min=1)
    async with open_pool(settings, "test") as opened:
        yield opened
