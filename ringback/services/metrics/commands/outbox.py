"""Publishes manual retries: the same event under a new job id, as a gateway would publish it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import asyncpg
import structlog
from aio_pika import DeliveryMode, Message
from opentelemetry.trace import Span as OpenSpan

from ringback.contract.envelope import CONTENT_TYPE, Envelope
from ringback.contract.retry_schedule import FIRST_ATTEMPT, RetrySchedule, routing_key
from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.topology import WEBHOOKS, accepting_topology
from ringback.contract.trace_context import TraceContext, trace_context_of
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.publisher import Publisher
from ringback.runtime.observability.tracing import (
    Link,
    Tracer,
    Value,
    add_link,
    ending,
    fail,
    shape_of,
    trace_context,
)
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.settings import BrokerSettings
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.instruments import RetryInstruments
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import ApiError


def message_of(row: asyncpg.Record, trace: TraceContext, origin: TraceContext | None) -> Message:
    """Build the message from a row of `retry_message.sql`. `trace` is the span of the publish.

    The body comes from the log: the same JSON value, not the same bytes. The receive time is that
    of the original event, because handlers order events by it. The retry schedule is that of the
    original, if its endpoint had its own.
    """
    schedule: str | None = row["retry_schedule"]
    envelope = Envelope(
        job_id=row["id"],
        event_type=row["event_type"],
        org_id=row["org_id"],
        endpoint_id=row["endpoint_id"],
        received_at=row["received_at"],
        gateway_instance_id=row["gateway_instance_id"],
        trace=trace,
        dedup_key=row["dedup_key"],
        retry_of=row["original"],
        origin=origin,
        retry_schedule=None if schedule is None else RetrySchedule.parse(schedule),
        forward=row["forward"],
        forward_of=row["forward_of"],
    )
    return Message(
        row["body"].encode(),
        headers=envelope.headers(),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(envelope.job_id),
        timestamp=envelope.received_at,
        type=envelope.event_type,
    )


ROUTING_KEY: Final = routing_key(FIRST_ATTEMPT)
_ORIGIN = "origin"
_PUBLISH = shape_of(
    Span.PUBLISH,
    {
        Attribute.MESSAGING_SYSTEM: "rabbitmq",
        Attribute.OPERATION_NAME: "publish",
        Attribute.OPERATION_TYPE: "send",
        Attribute.DESTINATION: f"{WEBHOOKS}:{ROUTING_KEY}",
        Attribute.ROUTING_KEY: ROUTING_KEY,
    },
)


class RetrySpans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @staticmethod
    def origin_of(row: asyncpg.Record) -> TraceContext | None:
        """The span of the retried webhook's first attempt; None if none was recorded.

        The link does not have the sampled flag, because the log does not record whether the trace
        was kept.
        """
        trace_id, span_id = row["trace_id"], row["span_id"]
        if not (trace_id and span_id):
            return None
        return trace_context_of(f"00-{trace_id}-{span_id}-00", None)

    def publish(
        self, row: asyncpg.Record, origin: TraceContext | None, within: OpenSpan | None
    ) -> OpenSpan:
        """Start a child of the call's span `within`, or a new trace if there is no call."""
        links = [Link(origin, _ORIGIN)] if origin else []
        attributes: dict[str, Value] = {
            Attribute.MESSAGE_ID: str(row["id"]),
            Attribute.JOB_ID: str(row["id"]),
            Attribute.RETRY_OF: str(row["original"]),
        }
        if within is None:
            span = self._tracer.start(_PUBLISH, links=links)
            span.set_attributes(attributes)
            return span
        span = self._tracer.child(within, _PUBLISH, attributes)
        for link in links:
            add_link(span, link)
        return span


log = structlog.get_logger()


class RetryPublisher(Protocol):
    @property
    def is_connected(self) -> bool:
        """Whether a publish may succeed now."""

    async def publish(self, message: Message, *, exchange: str, routing_key: str) -> None:
        """Return once it is confirmed.

        Raises one of BROKER_UNAVAILABLE_ERRORS, within its own deadline.
        """


class RetryOutbox:
    def __init__(
        self,
        access: Access,
        publisher: RetryPublisher,
        instruments: RetryInstruments,
        spans: RetrySpans,
    ) -> None:
        self.instruments = instruments
        self._access = access
        self._publisher = publisher
        self._spans = spans

    @property
    def is_ready(self) -> bool:
        """Whether the broker is connected and accepts messages."""
        return self._publisher.is_connected

    async def publish(self, row: asyncpg.Record, within: OpenSpan | None = None) -> bool:
        """Publish the retry of this row (`retry_message.sql`) as a first attempt.

        Returns True once it is confirmed. Returns False if that is unknown: the broker may have it.
        The message contains the context of its publish span, a child of `within` or a new trace.
        """
        origin = self._spans.origin_of(row)
        with ending(self._spans.publish(row, origin, within)) as span:
            message = message_of(row, trace_context(span), origin)
            span.set_attributes({Attribute.MESSAGE_BODY_SIZE: len(message.body)})
            try:
                await self._publisher.publish(message, exchange=WEBHOOKS, routing_key=ROUTING_KEY)
            except BROKER_UNAVAILABLE_ERRORS as exc:
                reason = type(exc).__name__
                fail(span, reason)
                log.warning(LogEvent.RETRY_NOT_CONFIRMED, job_id=str(row["id"]), reason=reason)
                return False
        return True

    async def publish_and_mark(
        self, row: asyncpg.Record, call: Call, within: OpenSpan | None
    ) -> bool:
        """Publish as `publish` does, and record the confirm in the database.

        If that fails, the sweeper publishes it again. This is harmless: it has the same job id.
        """
        if not await self.publish(row, within):
            return False
        try:
            async with self._access.changing(call) as connection:
                await connection.execute(
                    load("ringback.services.metrics.commands", "retry_mark_published.sql"),
                    [row["id"]],
                )
        except ApiError as exc:
            log.warning(LogEvent.RETRY_NOT_MARKED, job_id=str(row["id"]), reason=exc.reason)
        return True


_PUBLISH_TIMEOUT_S = 2.0


@asynccontextmanager
async def open_outbox(
    settings: BrokerSettings, access: Access, instruments: RetryInstruments, spans: RetrySpans
) -> AsyncGenerator[RetryOutbox]:
    """Open an outbox. It waits two seconds for the broker, then connects in the background."""
    publisher = Publisher(
        settings.amqp_url.get_secret_value(),
        "ringback-metrics-publish",
        needed=accepting_topology(),
        timeout_s=_PUBLISH_TIMEOUT_S,
    )
    async with publisher:
        # Without this, retries right after the start would fail with "broker unavailable".
        await publisher.wait_for_first_attempt(within_s=_PUBLISH_TIMEOUT_S)
        yield RetryOutbox(access, publisher, instruments, spans)
