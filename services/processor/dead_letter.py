"""Reads a message of the dead-letter queue. Pure; any message gives a result."""

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
from ringback.contract.retry_schedule import Attempt
from ringback.contract.status import AttemptOutcome, DeadReason
from ringback.contract.topology import DEAD_LETTER_QUEUE, DEFAULT_EXCHANGE, QUARANTINE_QUEUE
from services.processor.delivery import Message, attempt_due
from services.processor.log_rows import LogRow
from services.processor.policy import CRASHED, Failure, Forward, bury

NOBODYS_ORG = UUID(int=0)
"""The org of messages that no gateway published. No endpoint may have it."""

_LONGEST_TYPE = 255

#: Replaces bytes that are no event and may contain credentials: they cannot be redacted.
_WITHHELD = orjson.dumps({"unreadable_base64": REDACTED}).decode()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A future row of the log. `failure` is None if the log's last attempt has the reason."""

    row: LogRow
    attempt: Attempt
    failure: Failure | None


def fingerprint(message: Message) -> str:
    """A hash of the content, which names a message without a job id."""
    digest = hashlib.sha256(repr(message.message_id).encode() + b"\0" + message.body)
    return f"orphan:{digest.hexdigest()}"


def job_id_in(message: Message) -> JobId | None:
    """The id under which a gateway accepted it; None if no gateway published it."""
    envelope = _envelope(message)
    return envelope.job_id if envelope else None


def dead_letter_of(
    message: Message, max_attempts: int, adopted_id: JobId | None, redaction: Redaction
) -> DeadLetter:
    """Read a dead letter. `adopted_id` is for messages without a job id."""
    attempt = attempt_due(message)
    event = read_event(message.body)
    redacted = redaction.of(event.document) if isinstance(event, Event) else None
    failure = _failure(message.headers, redacted.hidden if redacted else ())
    envelope = _envelope(message) if adopted_id is None else None
    row = _row(message, envelope, max_attempts)
    if isinstance(event, Event) and redacted is not None:
        row = replace(
            row, event_data=redacted.text, altered=redacted.altered, call_id=event.call_id
        )
    elif redaction.may_be_in(message.body):
        row = replace(row, event_data=_WITHHELD)
    if adopted_id is not None:
        row = replace(row, id=adopted_id)
    return DeadLetter(row, attempt, failure)


def reason_of(failure: Failure | None, last: AttemptOutcome | None) -> DeadReason:
    """Why the message is dead; `last` is its last attempt's outcome, or None."""
    if failure == CRASHED:
        return DeadReason.PROCESS_CRASH
    if last is None or (failure is not None and last is AttemptOutcome.FAILED):
        return DeadReason.UNDELIVERABLE
    is_permanent = last is AttemptOutcome.PERMANENT
    return DeadReason.PERMANENT if is_permanent else DeadReason.RETRIES_EXHAUSTED


def with_raw_body(letter: DeadLetter) -> DeadLetter:
    """The same letter with its event in a form that any store accepts."""
    raw = _raw(letter.row.event_data.encode())
    return replace(letter, row=replace(letter.row, event_data=raw, altered=True))


def renewed(message: Message, returns: int) -> Forward:
    """A copy for the end of the queue, with the facts that only the broker's headers contain."""
    failure = _failure(message.headers, ())
    headers = dict(bury(attempt_due(message), failure).headers) | {Header.REQUEUES.value: returns}
    return Forward(DEFAULT_EXCHANGE, DEAD_LETTER_QUEUE, MappingProxyType(headers))


def _envelope(message: Message) -> Envelope | None:
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    return envelope if isinstance(envelope, Envelope) else None


def _row(message: Message, envelope: Envelope | None, max_attempts: int) -> LogRow:
    return LogRow(
        id=envelope.job_id if envelope else NOBODYS_ORG,
        org_id=envelope.org_id if envelope else NOBODYS_ORG,
        endpoint_id=sanitize_text(envelope.endpoint_id) if envelope else "unknown",
        event_type=sanitize_text(message.type or "unknown")[:_LONGEST_TYPE],
        event_data=_raw(message.body),
        altered=True,
        max_attempts=max_attempts,
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
        said = scrub_secrets(str(headers.get(Header.ERROR_MESSAGE)), hidden)
        return Failure(sanitize_text(error_class), sanitize_text(said))
    return CRASHED if _stopped_in_quarantine(headers.get("x-death")) else None


def _stopped_in_quarantine(deaths: Any) -> bool:
    """Whether the queue of quarantined messages dead-lettered it because of its delivery limit."""
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    return (
        isinstance(newest, dict)
        and newest.get("queue") == QUARANTINE_QUEUE
        and newest.get("reason") == "delivery_limit"
    )
