"""Publishes copies of messages on its own connection, because an alarm blocks whole connections."""

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.topology import DEAD
from ringback.runtime.amqp.publisher import ConfirmedPublisher
from services.processor.policy import Forward
from services.processor.settle import headers_onward

_PUBLISH_TIMEOUT_S = 5.0
_NO_ID = "none"


class CopyPublisher:
    """Usable while the given publisher is entered."""

    def __init__(self, publisher: ConfirmedPublisher) -> None:
        self._publisher = publisher

    async def answers(self) -> bool:
        """Whether the broker answers on the publishing channel."""
        return await self._publisher.answers(DEAD)

    async def publish(self, message: AbstractIncomingMessage, forward: Forward) -> None:
        """Publish a copy of the message; return once it is confirmed.

        Raises one of BROKER_UNAVAILABLE_ERRORS.
        """
        copy = aio_pika.Message(
            message.body,
            headers=headers_onward(message, forward),  # type: ignore[arg-type]  # as they came
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # Otherwise the library creates an id, and copies would look like foreign messages.
            message_id=message.message_id or _NO_ID,
            timestamp=message.timestamp,
            type=message.type,
            expiration=None if forward.wait_ms is None else forward.wait_ms / 1000,
        )
        await self._publisher.publish(
            copy, exchange=forward.exchange, routing_key=forward.routing_key
        )


def publishing_connection(amqp_url: str) -> ConfirmedPublisher:
    """The publisher that a `CopyPublisher` uses; its owner enters it."""
    return ConfirmedPublisher(amqp_url, "ringback-processor-publish", timeout_s=_PUBLISH_TIMEOUT_S)
