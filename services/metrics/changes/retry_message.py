"""A retry as a message: the same event under a new id, as a gateway would publish it."""

import asyncpg
from aio_pika import DeliveryMode, Message

from ringback.contract.envelope import CONTENT_TYPE, Envelope
from ringback.contract.trace_context import TraceContext


def message_of(row: asyncpg.Record, trace: TraceContext, origin: TraceContext | None) -> Message:
    """Build the message from a row of `retry_message.sql`. `trace` is the span of the publish.

    The body comes from the log: the same JSON value, not the same bytes. Its receive time is that
    of the original event, however often it was retried: handlers order events by it.
    """
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
