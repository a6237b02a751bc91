"""Reading depths when the broker closes the connection."""

import asyncio
from typing import Any

import pytest

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
