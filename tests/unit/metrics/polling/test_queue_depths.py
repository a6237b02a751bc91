"""Reading depths when the broker closes the connection."""

import asyncio
from typing import Any

import pytest

from services.metrics.polling.queue_depths import depth_of, opens_channel


class Connection:
    """One whose channels behave like those of aiormq.

    After a close, a waiting call gets CancelledError although no one cancelled it.
    """

    def __init__(self, *, is_closed: bool) -> None:
        self._is_closed = is_closed

    @property
    def transport(self) -> Any:
        return self

    @property
    def connection(self) -> Any:
        return self

    async def channel(self, **_: object) -> Any:
        await asyncio.sleep(0)
        if self._is_closed:
            raise asyncio.CancelledError
        await asyncio.Event().wait()


CLOSED: Any = Connection(is_closed=True)
HANGING: Any = Connection(is_closed=False)


async def test_a_closed_connection_gives_no_depth() -> None:
    """Otherwise the poller would end silently, and gauges would keep their old values."""
    assert await depth_of(CLOSED, "webhooks.work", 5) is None


async def test_a_check_on_a_closed_connection_fails() -> None:
    """It raises an unavailable error, and does not end the calling task."""
    with pytest.raises(ConnectionError):
        await opens_channel(CLOSED)


async def test_a_real_cancellation_is_not_caught() -> None:
    """The task ends as cancelled."""
    task = asyncio.create_task(depth_of(HANGING, "webhooks.work", 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
