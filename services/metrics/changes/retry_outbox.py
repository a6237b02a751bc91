"""Publishes committed retries to the broker."""

from typing import Protocol

import asyncpg
import structlog
from aio_pika import Message

from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spans import Attribute
from ringback.contract.topology import WEBHOOKS
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.tracing import OpenSpan
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import ApiError
from services.metrics.changes.retry_counter import RetryCounter
from services.metrics.changes.retry_message import message_of
from services.metrics.changes.retry_spans import ROUTING_KEY, RetrySpans

log = structlog.get_logger()


class Publisher(Protocol):
    @property
    def is_ready(self) -> bool:
        """Whether a publish may succeed now."""

    async def publish(self, message: Message, *, exchange: str, routing_key: str) -> None:
        """Return once it is confirmed.

        Raises one of BROKER_UNAVAILABLE_ERRORS, within its own deadline.
        """


class RetryOutbox:
    def __init__(
        self, access: Access, publisher: Publisher, counter: RetryCounter, spans: RetrySpans
    ) -> None:
        self.counter = counter
        self._access = access
        self._publisher = publisher
        self._spans = spans

    @property
    def is_open(self) -> bool:
        """Whether the broker is connected and accepts messages."""
        return self._publisher.is_ready

    async def publish(self, row: asyncpg.Record, within: OpenSpan | None = None) -> bool:
        """Publish the retry of this row (`retry_message.sql`) as a first attempt.

        True once it is confirmed. False when that is unknown: the broker may have it. The message
        carries its publish span, which is a child of `within` or starts a trace.
        """
        origin = self._spans.origin_of(row)
        with self._spans.publish(row, origin, within) as span:
            message = message_of(row, span.context, origin)
            span.tell({Attribute.MESSAGE_BODY_SIZE: len(message.body)})
            try:
                await self._publisher.publish(message, exchange=WEBHOOKS, routing_key=ROUTING_KEY)
            except BROKER_UNAVAILABLE_ERRORS as exc:
                reason = type(exc).__name__
                span.failed(reason)
                log.warning(LogEvent.RETRY_NOT_CONFIRMED, job_id=str(row["id"]), reason=reason)
                return False
        return True

    async def publish_and_mark(self, row: asyncpg.Record, call: Call) -> bool:
        """Publish as `publish` does, and record the confirm in the database.

        Without the record the sweeper publishes it again under its id, which does no harm.
        """
        if not await self.publish(row, call.span):
            return False
        try:
            async with self._access.changing(call) as connection:
                await connection.execute(
                    load("services.metrics", "retry_mark_published.sql"), [row["id"]]
                )
        except ApiError as exc:
            log.warning(LogEvent.RETRY_NOT_MARKED, job_id=str(row["id"]), reason=exc.reason)
        return True
