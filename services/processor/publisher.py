"""Publishes copies of messages, on a connection of its own: it alone is blocked by an alarm."""

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.topology import DEAD
from ringback.runtime.confirmed_publisher import ConfirmedPublisher
from services.processor.policy import Forward
from services.processor.settle import headers_onward

_PUBLISH_TIMEOUT_S = 5.0
_NO_ID = "none"


class CopyPublisher:
    """Lives as long as the publisher that it is given is entered."""

    def __init__(self, publisher: ConfirmedPublisher) -> None:
        self._publisher = publisher

    async def answers(self) -> bool:
        """Whether the broker answers on the publishing channel."""
        return await self._publisher.answers(DEAD)

    async def publish(self, message: AbstractIncomingMessage, forward: Forward) -> None:
        """Publish a copy of the message; return once it is confirmed. Raises one of BROKER_AWAY."""
        copy = aio_pika.Message(
            message.body,
            headers=headers_onward(message, forward),  # type: ignore[arg-type]  # as they came
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # Where there is none the library makes one up, and copies would seem to be strangers.
            message_id=message.message_id or _NO_ID,
            timestamp=message.timestamp,
            type=message.type,
            expiration=None if forward.wait_ms is None else forward.wait_ms / 1000,
        )
        await self._publisher.publish(
            copy, exchange=forward.exchange, routing_key=forward.routing_key
        )


def publishing_connection(amqp_url: str) -> ConfirmedPublisher:
    """What a `CopyPublisher` needs, to be entered by whoever owns it."""
    return ConfirmedPublisher(amqp_url, "ringback-processor-publish", timeout_s=_PUBLISH_TIMEOUT_S)
