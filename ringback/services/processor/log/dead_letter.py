"""What the message of a dead letter says: the row of the log, and why it is dead. Pure."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson

from ringback.contract.envelope import Envelope, Header, open_envelope
from ringback.contract.event import Event, read_event
from ringback.contract.identity import JobId
from ringback.contract.json_text import sanitize_text
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.redaction.scrub import REDACTED, scrub_secrets
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome, DeadReason
from ringback.contract.topology import DEAD_LETTER_QUEUE, DEFAULT_EXCHANGE, QUARANTINE_QUEUE
from ringback.services.processor.attempt.policy import (
    CANCELLED,
    CRASHED,
    Copy,
    Failure,
    dead_letter,
)
from ringback.services.processor.attempt.result import MAX_ERROR_CLASS
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.log.delivery_log import LogRow

UNKNOWN_ORG = UUID(int=0)
"""The organisation of messages that no gateway published. No endpoint may have it."""

_NO_JOB_ID = UUID(int=0)
"""Replaced by the assigned id."""

_MAX_EVENT_TYPE = 255

#: Replaces bytes that are no event and may contain credentials: they cannot be redacted.
_WITHHELD = orjson.dumps({"unreadable_base64": REDACTED}).decode()


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A future row of the log. `failure` is None if the log's last attempt has the reason.

    `retry_schedule` is that of the endpoint if it has its own, for a manual retry.
    """

    row: LogRow
    attempt: Attempt
    failure: Failure | None
    retry_schedule: RetrySchedule | None = None


def fingerprint(message: Message) -> str:
    """A hash of the content, which names a message without a job id."""
    digest = hashlib.sha256(repr(message.message_id).encode() + b"\0" + message.body)
    return f"orphan:{digest.hexdigest()}"


def job_id_in(message: Message) -> JobId | None:
    """The id under which a gateway accepted it; None if no gateway published it."""
    envelope = _envelope(message)
    return envelope.job_id if envelope else None


def parse_dead_letter(
    message: Message, max_attempts: int, assigned_id: JobId | None, redaction: Redaction
) -> DeadLetterEntry:
    """Read a dead letter. `assigned_id` is for messages without a job id."""
    attempt = attempt_due(message)
    event = read_event(message.body)
    redacted = redaction.of(event.document) if isinstance(event, Event) else None
    failure = _failure(message.headers, redacted.hidden if redacted else ())
    envelope = _envelope(message) if assigned_id is None else None
    row = _row(message, envelope, max_attempts)
    if isinstance(event, Event) and redacted is not None:
        row = row._replace(
            event_data=redacted.text, altered=redacted.altered, call_id=event.call_id
        )
    elif redaction.may_be_in(message.body):
        row = row._replace(event_data=_WITHHELD)
    if assigned_id is not None:
        row = row._replace(id=assigned_id)
    schedule = envelope.retry_schedule if envelope else None
    return DeadLetterEntry(row, attempt, failure, schedule)


def dead_reason(failure: Failure | None, last: AttemptOutcome | None) -> DeadReason:
    """Why the message became a dead letter; `last` is the outcome of its last attempt, if any."""
    if failure == CRASHED:
        return DeadReason.PROCESS_CRASH
    if failure is not None and failure.error_class == CANCELLED:
        return DeadReason.CANCELLED
    if last is None or (failure is not None and last is AttemptOutcome.FAILED):
        return DeadReason.UNDELIVERABLE
    is_permanent = last is AttemptOutcome.PERMANENT
    return DeadReason.PERMANENT if is_permanent else DeadReason.RETRIES_EXHAUSTED


def with_raw_payload(entry: DeadLetterEntry) -> DeadLetterEntry:
    """The same entry with its event as base64, which PostgreSQL always accepts."""
    raw = _raw(entry.row.event_data.encode())
    return replace(entry, row=entry.row._replace(event_data=raw, altered=True))


def renewed(message: Message, requeues: int) -> Copy:
    """A copy for the end of the queue. It keeps the failure that only the headers contain."""
    failure = _failure(message.headers, ())
    headers = dict(dead_letter(attempt_due(message), failure).headers) | {
        Header.REQUEUES.value: requeues
    }
    return Copy(DEFAULT_EXCHANGE, DEAD_LETTER_QUEUE, MappingProxyType(headers))


def _envelope(message: Message) -> Envelope | None:
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    return envelope if isinstance(envelope, Envelope) else None


def _row(message: Message, envelope: Envelope | None, max_attempts: int) -> LogRow:
    return LogRow(
        id=envelope.job_id if envelope else _NO_JOB_ID,
        org_id=envelope.org_id if envelope else UNKNOWN_ORG,
        endpoint_id=sanitize_text(envelope.endpoint_id) if envelope else "unknown",
        event_type=sanitize_text(message.type or "unknown")[:_MAX_EVENT_TYPE],
        event_data=_raw(message.body),
        altered=True,
        max_attempts=envelope.retry_schedule.max_attempts
        if envelope and envelope.retry_schedule
        else max_attempts,
        call_id=None,
        dedup_key=envelope.dedup_key if envelope else None,
        gateway_instance_id=envelope.gateway_instance_id if envelope else None,
        retry_of=envelope.retry_of if envelope else None,
    )


def _raw(body: bytes) -> str:
    return orjson.dumps({"unreadable_base64": base64.b64encode(body).decode()}).decode()


def _failure(headers: Mapping[str, Any], hidden: Sequence[str]) -> Failure | None:
    error_class = headers.get(Header.ERROR_CLASS)
    if isinstance(error_class, str):
        error_message = scrub_secrets(str(headers.get(Header.ERROR_MESSAGE)), hidden)
        shown = sanitize_text(error_class)[:MAX_ERROR_CLASS]
        return Failure(shown, sanitize_text(error_message))
    return CRASHED if _exceeded_quarantine_limit(headers.get("x-death")) else None


def _exceeded_quarantine_limit(deaths: Any) -> bool:
    """Whether the queue of quarantined messages dead-lettered it because of its delivery limit."""
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    return (
        isinstance(newest, dict)
        and newest.get("queue") == QUARANTINE_QUEUE
        and newest.get("reason") == "delivery_limit"
    )
