"""Readings when the broker closes the connection, and when another reading fails."""

import asyncio
from typing import Any

import pytest

from services.metrics.polling.poller import Poller
from services.metrics.polling.queue_depths import depth_of, opens_channel


class ClosedConnection:
    """Its channels behave like those of aiormq: a waiting call gets CancelledError.

    No one has cancelled it.
    """

    @property
    def transport(self) -> Any:
        return self

    @property
    def connection(self) -> Any:
        return self

    async def channel(self, **_: object) -> Any:
        await asyncio.sleep(0)
        raise asyncio.CancelledError


CLOSED: Any = ClosedConnection()


async def test_a_closed_connection_gives_no_depth() -> None:
    """Otherwise the poller would end silently, and gauges would keep their old values."""
    assert await depth_of(CLOSED, "webhooks.work", 5) is None


async def test_a_check_on_a_closed_connection_fails() -> None:
    """It raises an unavailable error, and does not end the calling task."""
    with pytest.raises(ConnectionError):
        await opens_channel(CLOSED)


class Source:
    """Every reading waits, but the count of dead letters fails with a bug."""

    async def read(self, _: float) -> None:
        await asyncio.Event().wait()

    state = stats = read

    async def unresolved_dead_letters(self, _: float) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError


async def test_the_error_of_one_reading_ends_the_others() -> None:
    """A reading that continued would use the pool after it is closed."""
    source: Any = Source()
    unused: Any = None
    before = asyncio.all_tasks()

    with pytest.raises(ZeroDivisionError):
        await Poller(source, source, unused, unused).run(interval_s=1)

    assert asyncio.all_tasks() == before
