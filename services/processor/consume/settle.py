"""The one place that answers the broker."""

import asyncio
from typing import Protocol, assert_never

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.envelope import Header, without_broker_headers
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import DEAD
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.publisher import ConfirmedPublisher
from services.processor.attempt.policy import Acknowledge, Forward, Reject, Verdict, queue_move
from services.processor.spans import MessageSpan

_RETRY_WAIT_S = 1.0
_AFTER_A_BUG_S = 1.0
_OF_ONE_HOP = frozenset(
    {
        Header.ATTEMPT.value,
        Header.ERROR_CLASS.value,
        Header.ERROR_MESSAGE.value,
        Header.CRASHES.value,
    }
)

log = structlog.get_logger()


class Publisher(Protocol):
    async def publish(self, message: AbstractIncomingMessage, forward: Forward) -> None:
        """Publish a copy of the message; return once it is confirmed.

        Raises one of BROKER_UNAVAILABLE_ERRORS.
        """


async def settle(
    message: AbstractIncomingMessage, verdict: Verdict, publisher: Publisher, span: MessageSpan
) -> bool:
    """Carry out the verdict; true if the broker was answered.

    False when the message's channel is gone: the broker delivers the message again, and the
    recorded verdict is repeated. A message must not be answered on a channel other than its own.
    """
    try:
        match verdict:
            case Acknowledge():
                await _acknowledge(message, span)
            case Reject():
                with span.routing(queue_move(verdict)):
                    await _reject(message, span, requeue=False)
            case Forward():
                with span.routing(queue_move(verdict)):
                    await _forwarded(message, verdict, publisher)
                await _acknowledge(message, span)
            case _:
                assert_never(verdict)
    except BROKER_UNAVAILABLE_ERRORS as exc:
        log.warning(LogEvent.MESSAGE_NOT_SETTLED, reason=type(exc).__name__)
        return False
    return True


async def give_back(message: AbstractIncomingMessage, span: MessageSpan) -> None:
    """Requeue a message, to be delivered again."""
    try:
        await _reject(message, span, requeue=True)
    except BROKER_UNAVAILABLE_ERRORS as exc:
        log.warning(LogEvent.MESSAGE_NOT_SETTLED, reason=type(exc).__name__)


async def requeue_after_error(message: AbstractIncomingMessage, span: MessageSpan) -> None:
    """Requeue a message that we could not even return with a count, after a pause.

    The broker counts its deliveries, so it is quarantined and then dead-lettered in the end.
    """
    await asyncio.sleep(_AFTER_A_BUG_S)
    await give_back(message, span)


def headers_onward(message: AbstractIncomingMessage, forward: Forward) -> dict[str, object]:
    """The headers of the copy: the webhook's own and the next hop's, without the last hop's."""
    kept = {
        name: value
        for name, value in without_broker_headers(message.headers).items()
        if name not in _OF_ONE_HOP
    }
    return kept | dict(forward.headers)


async def _acknowledge(message: AbstractIncomingMessage, span: MessageSpan) -> None:
    with span.settling("ack"):
        await message.ack()


async def _reject(message: AbstractIncomingMessage, span: MessageSpan, *, requeue: bool) -> None:
    with span.settling("reject"):
        await message.reject(requeue=requeue)


async def _forwarded(
    message: AbstractIncomingMessage, forward: Forward, publisher: Publisher
) -> None:
    """Publish until it is confirmed. The message stays safe, so a blocked broker only delays."""
    while True:
        if message.channel.is_closed:
            raise ConnectionError("The channel of the message is closed.")
        try:
            await publisher.publish(message, forward)
        except BROKER_UNAVAILABLE_ERRORS as exc:
            log.warning(LogEvent.MESSAGE_PUBLISH_RETRIED, reason=type(exc).__name__)
            await asyncio.sleep(_RETRY_WAIT_S)
        else:
            return


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
