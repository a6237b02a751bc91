"""Connections to a migrated database."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

Connect = Callable[[], Awaitable[asyncpg.Connection]]


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Connect]:
    """Opens connections, and closes them after the test."""
    opened: list[asyncpg.Connection] = []

    async def opening() -> asyncpg.Connection:
        opened.append(await asyncpg.connect(database_url, command_timeout=300))
        return opened[-1]

    yield opening
    for connection in opened:
        await connection.close()


@pytest.fixture
async def connection(connect: Connect) -> asyncpg.Connection:
    return await connect()
