"""A webhook as a message: the body is the exact bytes that arrived, the rest are properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from ringback.contract.identity import JobId, job_id_of
from ringback.contract.json_text import sanitize_text
from ringback.contract.retry_schedule import InvalidRetryScheduleError, RetrySchedule
from ringback.contract.trace_context import TraceContext, trace_context_of

CONTENT_TYPE = "application/json"

_LONGEST_TEXT_BYTES = 2_000
_YES = "true"

#: The broker adds these when it dead-letters. If a client publishes them again, the broker
#: (RabbitMQ before 4.0.1) may drop the message as a cycle, so every republish removes them.
BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")


class Header(StrEnum):
    ORG_ID = "org_id"
    ENDPOINT_ID = "endpoint_id"
    DEDUP_KEY = "dedup_key"
    RECEIVED_AT = "received_at"
    GATEWAY_INSTANCE_ID = "gateway_instance_id"
    TRACEPARENT = "traceparent"
    TRACESTATE = "tracestate"
    RETRY_OF = "retry_of"
    #: On a webhook for the bulk queue, so that also the spool keeps the choice.
    BULK = "bulk"
    #: The retry schedule of the endpoint, if it has its own.
    RETRY_SCHEDULE = "retry_schedule"
    #: On a webhook that a forward sends to its URL: the forward's name, and the received webhook.
    FORWARD = "forward"
    FORWARD_OF = "forward_of"
    #: On a manual retry: the trace of the retried webhook.
    ORIGIN = "origin_traceparent"
    #: On a message whose routing key is no longer its attempt: quarantined messages, dead letters.
    ATTEMPT = "attempt"
    #: On a message that a processor dead-lettered: the reason.
    ERROR_CLASS = "error_class"
    ERROR_MESSAGE = "error_message"
    #: On a message that was returned without an attempt although the database answered: how often.
    REQUEUES = "requeues"
    #: On a message whose org had its share of the slots: how often it was parked.
    PARKS = "parks"
    #: On a webhook whose calls failed while a breaker was open: how often that used no attempt.
    FREE_FAILURES = "free_failures"
    #: On a quarantined message: how often it got no answer while it ran alone.
    CRASHES = "crashes"


HEADERS_OF_ONE_HOP = frozenset(
    {
        Header.ATTEMPT.value,
        Header.ERROR_CLASS.value,
        Header.ERROR_MESSAGE.value,
        Header.CRASHES.value,
    }
)
"""Not about the webhook: a copy of its message for the next hop does not have them."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """All metadata that travels with a body.

    `dedup_key` is None if duplicates of the event cannot be recognised. `trace` is the span that
    published the message. `origin` is set only for a retry: the trace of the first attempt of the
    retried webhook. `retry_schedule` is set only if the endpoint has its own. `is_bulk`: its
    org sent more than its rate. `forward` is set only for a webhook that a forward sends to its
    URL; it sends the event of `forward_of`.
    """

    job_id: JobId
    event_type: str
    org_id: UUID
    endpoint_id: str
    received_at: datetime
    gateway_instance_id: UUID
    trace: TraceContext
    dedup_key: str | None = None
    retry_of: JobId | None = None
    is_bulk: bool = False
    origin: TraceContext | None = None
    retry_schedule: RetrySchedule | None = None
    forward: str | None = None
    forward_of: JobId | None = None

    def headers(self) -> dict[str, Any]:
        """The message headers. Missing values have no header."""
        headers: dict[str, Any] = {
            Header.ORG_ID.value: _uuid_text(self.org_id),
            Header.ENDPOINT_ID.value: self.endpoint_id,
            Header.RECEIVED_AT.value: _as_text(self.received_at),
            Header.GATEWAY_INSTANCE_ID.value: _uuid_text(self.gateway_instance_id),
            Header.TRACEPARENT.value: self.trace.traceparent,
        }
        if self.dedup_key is not None:
            headers[Header.DEDUP_KEY.value] = self.dedup_key
        if self.trace.tracestate is not None:
            headers[Header.TRACESTATE.value] = self.trace.tracestate
        if self.retry_of is not None:
            headers[Header.RETRY_OF.value] = str(self.retry_of)
        if self.is_bulk:
            headers[Header.BULK.value] = _YES
        if self.origin is not None:
            headers[Header.ORIGIN.value] = self.origin.traceparent
        if self.retry_schedule is not None:
            headers[Header.RETRY_SCHEDULE.value] = str(self.retry_schedule)
        if self.forward is not None:
            headers[Header.FORWARD.value] = self.forward
            headers[Header.FORWARD_OF.value] = str(self.forward_of)
        return headers


@dataclass(frozen=True, slots=True)
class InvalidEnvelope:
    """A message that no gateway can have published, and why."""

    reason: str


def open_envelope(
    *, message_id: str | None, event_type: str | None, headers: Mapping[str, Any]
) -> Envelope | InvalidEnvelope:
    """Read a message's metadata. Never raises, whatever the message contains."""
    job_id = job_id_of(message_id or "")
    org_id = _uuid(headers.get(Header.ORG_ID))
    life = _uuid(headers.get(Header.GATEWAY_INSTANCE_ID))
    received_at = _time(headers.get(Header.RECEIVED_AT))
    trace = _trace(headers)
    endpoint_id = _text(headers.get(Header.ENDPOINT_ID))
    if job_id is None:
        return InvalidEnvelope("The message id is not a UUIDv7.")
    kept_type = _text(event_type)
    if kept_type is None:
        return InvalidEnvelope("The message has no valid type.")
    if not (org_id and life and received_at and trace and endpoint_id):
        return InvalidEnvelope("A required header of the message is missing or malformed.")
    dedup_key = headers.get(Header.DEDUP_KEY)
    if dedup_key is not None and not _text(dedup_key):
        return InvalidEnvelope("The dedup key is invalid.")
    schedule_text = headers.get(Header.RETRY_SCHEDULE)
    retry_schedule = None if schedule_text is None else _schedule(schedule_text)
    if schedule_text is not None and retry_schedule is None:
        return InvalidEnvelope("The retry schedule is invalid.")
    return Envelope(
        job_id=job_id,
        event_type=kept_type,
        org_id=org_id,
        endpoint_id=endpoint_id,
        received_at=received_at,
        gateway_instance_id=life,
        trace=trace,
        dedup_key=dedup_key,
        retry_of=_job_id(headers.get(Header.RETRY_OF)),
        is_bulk=headers.get(Header.BULK) == _YES,
        origin=trace_context_of(_text(headers.get(Header.ORIGIN)), None),
        retry_schedule=retry_schedule,
        forward=_text(headers.get(Header.FORWARD)),
        forward_of=_job_id(headers.get(Header.FORWARD_OF)),
    )


def without_broker_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that may be published again."""
    return {name: value for name, value in headers.items() if not name.startswith(BROKER_HEADERS)}


_uuid_text = lru_cache(maxsize=256)(str)
"""Only for ids that many webhooks share."""


def _as_text(moment: datetime) -> str:
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds")


def _text(value: Any) -> str | None:
    """A text that PostgreSQL can store, also in an index."""
    if not isinstance(value, str) or sanitize_text(value) != value:
        return None
    return value if 0 < len(value.encode()) <= _LONGEST_TEXT_BYTES else None


def _trace(headers: Mapping[str, Any]) -> TraceContext | None:
    return trace_context_of(
        _text(headers.get(Header.TRACEPARENT)), _text(headers.get(Header.TRACESTATE))
    )


def _job_id(value: Any) -> JobId | None:
    return job_id_of(str(value)) if value else None


def _uuid(value: Any) -> UUID | None:
    try:
        return _shared_uuid(value) if isinstance(value, str) else None
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _shared_uuid(text: str) -> UUID:
    """Only for ids that many webhooks share."""
    return UUID(text)


def _schedule(value: Any) -> RetrySchedule | None:
    try:
        return _shared_schedule(value) if isinstance(value, str) else None
    except InvalidRetryScheduleError:
        return None


@lru_cache(maxsize=256)
def _shared_schedule(text: str) -> RetrySchedule:
    """Only for schedules that many webhooks share."""
    return RetrySchedule.parse(text)


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
