"""Readings when the broker closes the connection, and when another reading fails."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import aiormq
import asyncpg
import pytest
from structlog.testing import capture_logs

from ringback.runtime.process.background import end
from ringback.services.metrics.polling.poller import Poller
from ringback.services.metrics.polling.queue_depths import depth_of, opens_channel
from tests.support.eventually import eventually


class ClosingConnection:
    """Its channels behave like those of aiormq: a waiting call gets CancelledError.

    No one has cancelled it.
    """

    is_closed = False

    @property
    def transport(self) -> Any:
        return self

    @property
    def connection(self) -> Any:
        return self

    async def channel(self, **_: object) -> Any:
        await asyncio.sleep(0)
        raise asyncio.CancelledError


@pytest.fixture(params=["closing", "closed"])
async def connection(request: pytest.FixtureRequest) -> Any:
    """A connection that the broker is closing, or one of the library that is closed."""
    if request.param == "closing":
        return ClosingConnection()
    closed = aiormq.Connection("amqp://127.0.0.1/")
    closed.connected.set()
    await closed.close()
    return SimpleNamespace(transport=SimpleNamespace(connection=closed))


async def test_a_closed_connection_gives_no_depth(connection: Any) -> None:
    """Otherwise the poller would end, and the service with it."""
    assert await depth_of(connection, "webhooks.work", 5) is None


async def test_a_check_on_a_closed_connection_fails(connection: Any) -> None:
    """It raises an unavailable error, and does not end the calling task."""
    with pytest.raises(ConnectionError):
        await opens_channel(connection)


class Source:
    """Every reading waits, but the count of dead letters fails with a bug."""

    async def read(self, _: float) -> None:
        await asyncio.Event().wait()

    state = stats = waits = read

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


class RefusedSource:
    """One reading is refused for good; the others find the database away twice."""

    def __init__(self) -> None:
        self.counts = 0

    async def read(self, _: float) -> None:
        await asyncio.Event().wait()

    state = stats = read

    async def unresolved_dead_letters(self, _: float) -> int:
        self.counts += 1
        if self.counts in {1, 2, 4}:
            raise ConnectionRefusedError
        return 0

    async def waits(self, _: float) -> None:
        raise asyncpg.InsufficientPrivilegeError("permission denied for table webhook_waits")


async def test_a_refused_reading_is_named_once_and_disturbs_no_other() -> None:
    """Each outage has its line, too."""
    source: Any = RefusedSource()
    unused: Any = Mock()
    with capture_logs() as lines:
        running = asyncio.create_task(Poller(source, source, unused, unused).run(interval_s=0))
        await eventually(lambda: source.counts >= 6)
        await end(running)

    assert {line["event"] for line in lines} == {"queue_health.log_not_read"}
    assert sorted(line["reason"] for line in lines) == [
        *["ConnectionRefusedError"] * 2,
        "InsufficientPrivilegeError 42501: permission denied for table webhook_waits",
    ]


class RollsBack:
    """Each reading takes a moment to end after it is cancelled, but one ends at once."""

    def __init__(self) -> None:
        self.rolled_back = 0

    async def read(self, _: float) -> None:
        await asyncio.Event().wait()

    async def state(self, _: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _turn in range(20):
                await asyncio.sleep(0)
            self.rolled_back += 1

    stats = unresolved_dead_letters = waits = state


async def test_a_stop_lets_each_reading_roll_back() -> None:
    """A second cancellation would interrupt it, and its connection would still be in use."""
    source: Any = RollsBack()
    unused: Any = Mock()
    running = asyncio.create_task(Poller(source, source, unused, unused).run(interval_s=1))
    await asyncio.sleep(0.01)

    await end(running)

    assert source.rolled_back == 4
