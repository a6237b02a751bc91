"""Events and spans for the unit tests of the processor."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import JobId
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.services.processor.consume.message import Message
from ringback.services.processor.spans import MessageSpan, Spans

JOB = JobId(UUID("0195f9ce-1234-7abc-8def-0123456789ab"))
ORG = UUID("00000000-0000-4000-8000-00000000000a")
RECEIVED = datetime(2025, 4, 3, 10, 0, tzinfo=UTC)

ENVELOPE = Envelope(
    job_id=JOB,
    event_type="hang",
    org_id=ORG,
    endpoint_id="default",
    received_at=RECEIVED,
    gateway_instance_id=ORG,
    trace=TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    dedup_key="k",
)


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "body": b'{"message":{"type":"hang"}}',
        "routing_key": "attempt.1",
        "message_id": str(JOB),
        "type": "hang",
        "headers": ENVELOPE.headers(),
    }
    return Message(**values | changes)


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "job_id": JOB,
        "org_id": ORG,
        "endpoint_id": "default",
        "type": "hang",
        "call_id": "call-1",
        "message": {"type": "hang"},
        "attempt": 1,
        "max_attempts": 4,
        "received_at": RECEIVED,
        "trace": ENVELOPE.trace,
    }
    return Event(**values | changes)


def untraced() -> MessageSpan:
    """The span of a message that is not traced."""
    return Spans(NO_TRACES).begin(message(), "webhooks.work")
