"""A base for objects on a broker connection: entering opens the connection, leaving closes it."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from aio_pika.abc import AbstractConnection

from ringback.runtime.amqp.connection import BrokerConnection


class BrokerClient:
    """A subclass sets up each new connection in `_on_open`."""

    def __init__(self, amqp_url: str, name: str) -> None:
        self._link = BrokerConnection(amqp_url, name, self._on_open)

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._link.__aexit__(kind, error, traceback)

    async def tried(self, *, within_s: float) -> None:
        """Wait until the first session is up or has failed, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._link.tried()

    async def _on_open(self, connection: AbstractConnection) -> None:
        """Set up a connection that was just opened.

        Raises the errors that `BrokerConnection` documents.
        """
        raise NotImplementedError
