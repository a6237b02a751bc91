"""Tests for what a pool of connections tells of itself."""

import pytest
from prometheus_client import CollectorRegistry

from ringback.local.ports import free_ports
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, open_pool
from tests.integration.runtime.test_postgres import settings_for
from tests.support.eventually import eventually


def connections(registry: CollectorRegistry, state: str) -> float | None:
    return registry.get_sample_value("ringback_database_pool_connections", {"state": state})


async def test_connections_are_idle_or_used(database_url: str) -> None:
    """A lent connection is told apart from one that waits, and both from the most there may be."""
    registry = CollectorRegistry()
    settings = settings_for(database_url, least=2, most=4)

    async with open_pool(settings, "test", registry) as pool:
        await eventually(lambda: connections(registry, "idle") == 2)
        async with pool.acquire():
            lent = connections(registry, "idle"), connections(registry, "used")

    assert lent == (1, 1)
    assert registry.get_sample_value("ringback_database_pool_max_connections") == 4


async def test_every_wait_is_measured(database_url: str) -> None:
    """A statement of the pool waits like one who borrows, and an exhausted pool shows as time."""
    registry = CollectorRegistry()
    settings = settings_for(database_url, least=0, most=1)

    async with open_pool(settings, "test", registry) as pool:
        await pool.fetchval("SELECT true")
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.2)

    assert registry.get_sample_value("ringback_database_pool_wait_seconds_count") == 3
    assert (registry.get_sample_value("ringback_database_pool_wait_seconds_sum") or 0) >= 0.2


async def test_a_wait_in_vain_is_measured_too() -> None:
    """With the server away each try counts."""
    registry = CollectorRegistry()
    [port] = free_ports(1)
    settings = settings_for(f"postgresql://nobody@127.0.0.1:{port}/none", least=0)

    async with open_pool(settings, "test", registry) as pool:
        with pytest.raises(DATABASE_UNAVAILABLE_ERRORS):
            await pool.fetchval("SELECT true")

    assert registry.get_sample_value("ringback_database_pool_wait_seconds_count") == 1
    assert connections(registry, "used") == 0
