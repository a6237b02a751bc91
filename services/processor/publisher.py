"""Publishes copies of messages, on a connection of its own: it alone is blocked by an alarm."""

import asyncio
from types import TracebackType
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from ringback.contract.topology import DEAD
from ringback.runtime.rabbit import Link
from services.processor.broken_off import broken_off_as_error
from services.processor.policy import Forward
from services.processor.settle import headers_onward

_PUBLISH_TIMEOUT_S = 5.0
_NO_ID = "none"


class ConfirmedPublisher:
    def __init__(self, amqp_url: str) -> None:
        self._link = Link(amqp_url, "ringback-processor-publish", self._on_open)
        self._channel: AbstractChannel | None = None

    async def answers(self) -> bool:
        """Whether the broker answers on the publishing channel."""
        if self._channel is None or not self._link.up:
            return False
        await self._channel.get_exchange(DEAD, ensure=True)
        return True

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

    async def publish(self, message: AbstractIncomingMessage, forward: Forward) -> None:
        """Publish a copy of the message; return once it is confirmed. Raises one of BROKER_AWAY.

        After a timeout the channel cannot be trusted with confirms, so the connection is made anew.
        """
        if self._channel is None or not self._link.up:
            raise ConnectionError("The publishing connection is down.")
        copy = aio_pika.Message(
            message.body,
            headers=headers_onward(message, forward),  # type: ignore[arg-type]  # as they came
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # Where there is none the library makes one up, and copies would seem to be strangers.
            message_id=message.message_id or _NO_ID,
            timestamp=message.timestamp,
            type=message.type,
        )
        exchange = await self._channel.get_exchange(forward.exchange, ensure=False)
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                with broken_off_as_error():
                    await exchange.publish(copy, forward.routing_key, mandatory=True)
        except (TimeoutError, asyncio.CancelledError):
            self._link.lost()
            raise

    async def _on_open(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        channel.close_callbacks.add(lambda *_: self._end_session_of(channel))
        self._channel = channel

    def _end_session_of(self, channel: AbstractChannel) -> None:
        """A channel can close late, when another session has begun."""
        if channel is self._channel:
            self._link.lost()
