"""How reading depths reacts when the broker closes the connection."""

import asyncio
from typing import Any

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from services.metrics import queue_depths
from services.metrics.queue_depths import QueueDepths


class ClosedConnection:
    """As in aiormq: a waiting call gets CancelledError although no one cancelled it."""

    @property
    def transport(self) -> Any:
        return self

    @property
    def connection(self) -> Any:
        return self

    async def channel(self, **_: object) -> Any:
        await asyncio.sleep(0)
        raise asyncio.CancelledError


@pytest.fixture
def depths() -> QueueDepths:
    depths = QueueDepths("amqp://127.0.0.1:1", RetrySchedule.parse("1s"))
    depths._connection = ClosedConnection()  # type: ignore[assignment]
    depths._broker_connection.is_connected = True
    return depths


async def test_a_reading_goes_on(depths: QueueDepths) -> None:
    """Otherwise its loop would end silently, and gauges would keep their old values."""
    assert await depths.read(5) == {}
    assert await depths.depth_of("webhooks.work", 5) is None


async def test_a_check_is_refused(depths: QueueDepths) -> None:
    """It raises an unavailable error, and does not end the calling task."""
    with pytest.raises(ConnectionError):
        await depths.answers()


async def test_a_real_cancellation_is_one(
    depths: QueueDepths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real cancellation ends it."""

    async def never(_connection: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(queue_depths, "_channel", never)
    task = asyncio.create_task(depths.read(60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
