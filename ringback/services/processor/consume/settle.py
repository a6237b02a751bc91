"""The one place that acknowledges, rejects and requeues messages."""

import asyncio
import random
from typing import Protocol, assert_never

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.envelope import HEADERS_OF_ONE_HOP, without_broker_headers
from ringback.contract.telemetry import LogEvent
from ringback.runtime.amqp.connection import (
    BROKER_UNAVAILABLE_ERRORS,
    is_cancelled_from_outside,
)
from ringback.runtime.observability.tracing import ending
from ringback.services.processor.attempt.policy import (
    Acknowledge,
    Copy,
    Reject,
    Requeue,
    Verdict,
    route_of,
)
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.spans import MessageSpan

_NO_ID = "none"
_NOT_SETTLED_ERRORS: tuple[type[BaseException], ...] = (
    *BROKER_UNAVAILABLE_ERRORS,
    asyncio.CancelledError,
)

log = structlog.get_logger()


class Publisher(Protocol):
    async def publish(self, message: aio_pika.Message, *, exchange: str, routing_key: str) -> None:
        """Return once the broker has the message on disk.

        Raises one of BROKER_UNAVAILABLE_ERRORS if that is unknown.
        """


class Settler:
    """Carries out verdicts. A message can only be settled on the channel that delivered it."""

    def __init__(
        self, publisher: Publisher, instruments: ProcessorInstruments, *, retry_wait_s: float = 1.0
    ) -> None:
        self._publisher = publisher
        self._instruments = instruments
        self._retry_wait_s = retry_wait_s

    async def settle(
        self, incoming: AbstractIncomingMessage, verdict: Verdict, span: MessageSpan
    ) -> None:
        """Carry out the verdict.

        If the message's channel is gone, the broker delivers the message again, and the recorded
        outcome is repeated.
        """
        try:
            match verdict:
                case Acknowledge():
                    await _acknowledge(incoming, span)
                case Reject():
                    with ending(span.routing(route_of(verdict))):
                        await _reject(incoming, span, requeue=False)
                case Requeue():
                    await _reject(incoming, span, requeue=True)
                case Copy():
                    with ending(span.routing(route_of(verdict))):
                        await self._publish(incoming, verdict)
                    await _acknowledge(incoming, span)
                case _:
                    assert_never(verdict)
        except _NOT_SETTLED_ERRORS as exc:
            # aiormq cancels an ack or a reject that is being sent when its connection closes.
            if isinstance(exc, asyncio.CancelledError) and is_cancelled_from_outside():
                raise
            log.warning(LogEvent.MESSAGE_NOT_SETTLED, reason=type(exc).__name__)
            return
        if isinstance(verdict, Reject | Copy) and verdict.retry_queue is not None:
            self._instruments.retry_scheduled(verdict.retry_queue.attempt)

    async def _publish(self, incoming: AbstractIncomingMessage, copy: Copy) -> None:
        """Publish until it is confirmed. The message stays safe, so a blocked broker only delays.

        Raises ConnectionError once the message's channel is closed.
        """
        message = _message_of(incoming, copy)
        while True:
            if incoming.channel.is_closed:
                raise ConnectionError("The channel of the message is closed.")
            try:
                await self._publisher.publish(
                    message, exchange=copy.exchange, routing_key=copy.routing_key
                )
            except BROKER_UNAVAILABLE_ERRORS as exc:
                log.warning(
                    LogEvent.MESSAGE_PUBLISH_RETRIED,
                    reason=type(exc).__name__,
                    detail=str(exc)[:200],
                )
                # Not all at the same time: one that the broker refuses ends the channel of all.
                await asyncio.sleep(self._retry_wait_s * (0.5 + random.random()))  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # spreads load
            else:
                return


def _message_of(incoming: AbstractIncomingMessage, copy: Copy) -> aio_pika.Message:
    """It has the webhook's own headers and those of the next hop, without the last hop's."""
    kept = {
        name: value
        for name, value in without_broker_headers(incoming.headers).items()
        if name not in HEADERS_OF_ONE_HOP
    }
    return aio_pika.Message(
        incoming.body,
        headers=kept | dict(copy.headers),
        content_type=incoming.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        # Otherwise the library creates an id, and copies would look like foreign messages.
        message_id=incoming.message_id or _NO_ID,
        timestamp=incoming.timestamp,
        type=incoming.type,
        expiration=None if copy.wait_ms is None else copy.wait_ms / 1000,
    )


async def _acknowledge(incoming: AbstractIncomingMessage, span: MessageSpan) -> None:
    with ending(span.settling("ack")):
        await incoming.ack()


async def _reject(incoming: AbstractIncomingMessage, span: MessageSpan, *, requeue: bool) -> None:
    with ending(span.settling("reject")):
        await incoming.reject(requeue=requeue)
