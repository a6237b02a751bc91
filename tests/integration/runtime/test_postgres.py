"""Tests for ringback.runtime.postgres.pool with servers that come and go."""

import asyncio

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chaos.fault_proxy import FaultProxy
from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from ringback.runtime.postgres.pool import (
    DATABASE_UNAVAILABLE_ERRORS,
    INVALID_DATA_ERRORS,
    open_pool,
    ping,
)
from ringback.runtime.process.settings import DatabaseSettings
from tests.support.eventually import eventually


def settings_for(url: str, *, least: int = 2, most: int = 4) -> DatabaseSettings:
    return DatabaseSettings(
        database_url=SecretStr(url), database_pool_min=least, database_pool_max=most
    )


async def answers(pool: asyncpg.Pool) -> bool:
    try:
        return await ping(pool)
    except DATABASE_UNAVAILABLE_ERRORS:
        return False


async def test_silently_lost_connections_cost_one_timeout(
    database: PrivateDatabase, database_url: str
) -> None:
    """One timeout closes the used connection and all idle ones; new connections work."""
    async with (
        FaultProxy(database.port) as way,
        open_pool(settings_for(way.through(database_url), least=4), "test") as pool,
    ):
        await eventually(lambda: pool.get_idle_size() == 4)
        way.strand()

        with pytest.raises(DATABASE_UNAVAILABLE_ERRORS):
            await pool.fetchval("SELECT true", timeout=0.5)

        assert await asyncio.gather(*(ping(pool) for _ in range(4))) == [True] * 4


async def test_a_cancellation_that_the_server_does_not_confirm_is_still_raised(
    database: PrivateDatabase, database_url: str
) -> None:
    """Otherwise a loop that survives outages would ignore its cancellation."""
    async with (
        FaultProxy(database.port) as way,
        open_pool(settings_for(way.through(database_url), least=0), "test") as pool,
    ):
        assert await ping(pool)
        way.strand()
        task = asyncio.create_task(ping(pool))
        await eventually(lambda: pool.get_idle_size() == 0)

        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()


async def test_the_server_ends_a_silent_session(database_url: str) -> None:
    """Its client may be gone, and its locks must not stay."""
    async with open_pool(settings_for(database_url), "test", idle_in_transaction_s=0.2) as pool:
        connection = await pool.acquire()
        noticed_after_s = await connection.fetchval(
            "SELECT current_setting('tcp_keepalives_idle')::int"
            " + current_setting('tcp_keepalives_interval')::int"
            " * current_setting('tcp_keepalives_count')::int"
        )

        await connection.transaction().start()
        # The pool takes back a connection that was closed while in use.
        await eventually(lambda: pool.get_size() == pool.get_idle_size())
        with pytest.raises(asyncpg.InterfaceError):
            await connection.execute("SELECT")

    assert noticed_after_s == 25


async def test_a_cancelled_statement_costs_no_connection(database_url: str) -> None:
    """The server confirmed the cancellation, so the connection is fine."""
    async with open_pool(settings_for(database_url, least=3), "test") as pool:
        await eventually(lambda: pool.get_idle_size() == 3)

        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT pg_sleep(60)", timeout=0.3)

        assert pool.get_idle_size() == 3


async def test_a_connection_that_is_closed_while_it_is_released_is_no_error(
    database_url: str,
) -> None:
    """Otherwise a pool that is being warmed would fail when the server restarts."""
    async with open_pool(settings_for(database_url, least=0, most=1), "test") as pool:
        connection = await pool.acquire()
        releasing = asyncio.create_task(pool.release(connection))
        await asyncio.sleep(0)
        connection.terminate()

        await releasing

        assert await ping(pool)


async def test_a_pool_outlives_its_server(own_database: PrivateDatabase) -> None:
    """The same pool works again when the server is back."""
    url = own_database.url()
    await own_database.kill()

    async with open_pool(settings_for(url), "test") as pool:
        away_at_first = await answers(pool)
        await own_database.start()
        await eventually(lambda: answers(pool))
        await own_database.kill()
        away_again = await answers(pool)
        await own_database.start()
        await eventually(lambda: answers(pool))
        held = await asyncio.gather(
            *(pool.fetchval("SELECT 1 FROM pg_sleep(0.05)") for _ in "1234")
        )

    assert (away_at_first, away_again) == (False, False)
    assert held == [1, 1, 1, 1]


async def test_a_stopped_server_is_an_outage(own_database: PrivateDatabase) -> None:
    """A statement that a shutdown interrupts may be tried again."""
    async with open_pool(settings_for(own_database.url()), "test") as pool:
        running = asyncio.ensure_future(pool.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.2)
        await own_database.stop()

        with pytest.raises(DATABASE_UNAVAILABLE_ERRORS):
            await running


async def test_a_pool_closes_in_time_with_a_connection_in_use(database_url: str) -> None:
    """A forgotten connection delays a shutdown only briefly."""
    async with asyncio.timeout(60):
        async with open_pool(settings_for(database_url), "test") as pool:
            await pool.acquire()


#: Statements that fail, and whether that is because of a value.
FAILING = [
    ("SELECT '\"\\u0000\"'::jsonb", True),
    ("SELECT 'x'::integer", True),
    ("SELECT 1e300::numeric::integer", True),
    ("SELECT * FROM no_such_table", False),  # not migrated yet
    ("SELECT pg_terminate_backend(pg_backend_pid())", False),
    ("SET statement_timeout = 1; SELECT pg_sleep(5)", False),
    ("SET transaction_read_only = on; CREATE TABLE t ()", False),
]


async def test_errors_are_classified(database_url: str) -> None:
    """Only errors in a value are INVALID_DATA_ERRORS; all others may be temporary."""
    for statement, refused in FAILING:
        async with open_pool(settings_for(database_url, least=0), "test") as pool:
            with pytest.raises(DATABASE_UNAVAILABLE_ERRORS) as caught:
                await pool.execute(statement)

        assert isinstance(caught.value, INVALID_DATA_ERRORS) == refused, statement


def connections(registry: CollectorRegistry, state: str) -> float | None:
    return registry.get_sample_value("ringback_database_pool_connections", {"state": state})


async def test_connections_are_idle_or_used(database_url: str) -> None:
    """Idle and used connections are counted separately, beside the maximum."""
    registry = CollectorRegistry()
    settings = settings_for(database_url, least=2, most=4)

    async with open_pool(settings, "test", registry) as pool:
        await eventually(lambda: connections(registry, "idle") == 2)
        async with pool.acquire():
            lent = connections(registry, "idle"), connections(registry, "used")

    assert lent == (1, 1)
    assert registry.get_sample_value("ringback_database_pool_max_connections") == 4


async def test_every_wait_is_measured(database_url: str) -> None:
    """For statements and for acquired connections; an exhausted pool shows as waiting time."""
    registry = CollectorRegistry()
    settings = settings_for(database_url, least=0, most=1)

    async with open_pool(settings, "test", registry) as pool:
        await pool.fetchval("SELECT true")
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.2)

    assert registry.get_sample_value("ringback_database_pool_wait_seconds_count") == 3
    assert (registry.get_sample_value("ringback_database_pool_wait_seconds_sum") or 0) >= 0.2


async def test_a_failed_wait_is_measured() -> None:
    """While the server is unavailable, each attempt counts."""
    registry = CollectorRegistry()
    [port] = free_ports(1)
    settings = settings_for(f"postgresql://nobody@127.0.0.1:{port}/none", least=0)

    async with open_pool(settings, "test", registry) as pool:
        with pytest.raises(DATABASE_UNAVAILABLE_ERRORS):
            await pool.fetchval("SELECT true")

    assert registry.get_sample_value("ringback_database_pool_wait_seconds_count") == 1
    assert connections(registry, "used") == 0
