"""Reads a message of the dead-letter queue. Pure; any message gives a result."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.envelope import Envelope, Header, open_envelope
from ringback.contract.event import Event, read_event
from ringback.contract.identity import JobId, new_job_id
from ringback.contract.json_text import sanitize_text
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.redaction.scrub import REDACTED, scrub_secrets
from ringback.contract.retry_schedule import Attempt
from ringback.contract.status import AttemptOutcome, DeadReason
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import DEAD_LETTER_QUEUE, DEFAULT_EXCHANGE, QUARANTINE_QUEUE
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from ringback.runtime.postgres.queries import load
from services.processor.attempt.policy import (
    CRASHED,
    Acknowledge,
    Failure,
    Forward,
    dead_letter_forward,
    needs_renewal,
)
from services.processor.consume.database_watch import DatabaseWatch
from services.processor.consume.message import Message, attempt_due
from services.processor.consume.message_handler import message_of
from services.processor.consume.settle import Publisher, give_back, requeue_after_error, settle
from services.processor.instruments import ProcessorInstruments
from services.processor.log.commit_batcher import CommitBatcher, DatabaseUnavailableError
from services.processor.log.delivery_log import LogRow, columns, link_previous_attempts
from services.processor.log.partitions import EnsurePartition
from services.processor.spans import MessageSpan, Spans, shared_query
from services.processor.trace_links import last_of_dead_letter

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


def parse_dead_letter(
    message: Message, max_attempts: int, assigned_id: JobId | None, redaction: Redaction
) -> DeadLetter:
    """Read a dead letter. `assigned_id` is for messages without a job id."""
    attempt = attempt_due(message)
    event = read_event(message.body)
    redacted = redaction.of(event.document) if isinstance(event, Event) else None
    failure = _failure(message.headers, redacted.hidden if redacted else ())
    envelope = _envelope(message) if assigned_id is None else None
    row = _row(message, envelope, max_attempts)
    if isinstance(event, Event) and redacted is not None:
        row = replace(
            row, event_data=redacted.text, altered=redacted.altered, call_id=event.call_id
        )
    elif redaction.may_be_in(message.body):
        row = replace(row, event_data=_WITHHELD)
    if assigned_id is not None:
        row = replace(row, id=assigned_id)
    return DeadLetter(row, attempt, failure)


def dead_reason(failure: Failure | None, last: AttemptOutcome | None) -> DeadReason:
    """Why the message is dead; `last` is its last attempt's outcome, or None."""
    if failure == CRASHED:
        return DeadReason.PROCESS_CRASH
    if last is None or (failure is not None and last is AttemptOutcome.FAILED):
        return DeadReason.UNDELIVERABLE
    is_permanent = last is AttemptOutcome.PERMANENT
    return DeadReason.PERMANENT if is_permanent else DeadReason.RETRIES_EXHAUSTED


def with_raw_payload(letter: DeadLetter) -> DeadLetter:
    """The same letter with its event in a form that any store accepts."""
    raw = _raw(letter.row.event_data.encode())
    return replace(letter, row=replace(letter.row, event_data=raw, altered=True))


def renewed(message: Message, returns: int) -> Forward:
    """A copy for the end of the queue, with the facts that only the broker's headers contain."""
    failure = _failure(message.headers, ())
    headers = dict(dead_letter_forward(attempt_due(message), failure).headers) | {
        Header.REQUEUES.value: returns
    }
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


_PACKAGE = "services.processor.log"
_FIRST_WAIT_S = 1.0
_WAITING_LONG = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """A webhook that has just become a dead letter, and why."""

    attempts: int
    error_class: str
    error_message: str
    last: AttemptOutcome | None
    """The outcome of its last attempt; None if it never had one."""


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter to record, and the span of its message."""

    letter: DeadLetter
    span: MessageSpan


class DeadLetterLog:
    """The part of the delivery log that dead letters need."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, entries: Sequence[DeadLetterEntry]) -> list[DeadLettered | None]:
        """Record webhooks as dead letters; None for one that is one already, or is finished."""
        rows = [entry.letter.row for entry in entries]
        failures = [entry.letter.failure for entry in entries]
        spans = [entry.span for entry in entries]
        async with self._pool.acquire() as connection:
            lasts = [last_of_dead_letter(row.id) for row in rows]
            await link_previous_attempts(connection, list(zip(spans, lasts, strict=True)))
            with shared_query("record_dead_letters", spans):
                found = await connection.fetch(
                    load(_PACKAGE, "record_dead_letters.sql"),
                    [row.id for row in rows],
                    [entry.letter.attempt for entry in entries],
                    [failure.error_class if failure else None for failure in failures],
                    [failure.error_message if failure else None for failure in failures],
                    *columns(rows),
                )
        by_id = {
            record["delivery_id"]: DeadLettered(
                record["attempts"],
                record["error_class"],
                record["error_message"],
                None if record["last"] is None else AttemptOutcome(record["last"]),
            )
            for record in found
        }
        return [by_id.get(row.id) for row in rows]

    async def assign_job_id(self, name: str, span: MessageSpan) -> JobId:
        """Get an id for a message without one; every delivery of it gets the same id."""
        with shared_query("adopt_message", [span]):
            owner = await self._pool.fetchval(
                load(_PACKAGE, "adopt_message.sql"), new_job_id(), NOBODYS_ORG, name
            )
        return JobId(owner)


class DeadLetterRecorder:
    def __init__(
        self,
        *,
        dead_letter_log: DeadLetterLog,
        commits: CommitBatcher[DeadLetterEntry, DeadLettered | None],
        ensure_partition: EnsurePartition,
        redaction: Redaction,
        max_attempts: int,
        publisher: Publisher,
        watch: DatabaseWatch,
        on_database_away: Callable[[], Awaitable[None]],
        instruments: ProcessorInstruments,
        spans: Spans,
    ) -> None:
        self._log = dead_letter_log
        self._commits = commits
        self._ensure_partition = ensure_partition
        self._redaction = redaction
        self._max_attempts = max_attempts
        self._publisher = publisher
        self._watch = watch
        self._on_database_away = on_database_away
        self._instruments = instruments
        self._spans = spans
        self._waiting = 0

    async def take(self, incoming: AbstractIncomingMessage) -> None:
        """Record one message of the dead-letter queue, then acknowledge it."""
        message = message_of(incoming)
        with self._spans.begin(message, DEAD_LETTER_QUEUE, is_dead_letter=True) as span:
            try:
                if needs_renewal(message.deliveries_before):
                    await settle(incoming, renewed(message, message.returns), self._publisher, span)
                    return
                await self._record(message, span)
                await settle(incoming, Acknowledge(), self._publisher, span)
            except DatabaseUnavailableError as exc:
                span.failed(type(exc).__qualname__)
                await self._on_database_away()
                await give_back(incoming, span)
            except Exception as exc:
                span.failed(type(exc).__qualname__)
                log.exception(LogEvent.DEAD_LETTER_NOT_RECORDED, job_id=incoming.message_id)
                await self._return(incoming, message, span)

    async def _return(
        self, incoming: AbstractIncomingMessage, message: Message, span: MessageSpan
    ) -> None:
        """Retry it later, behind the others. It stays a message until it is recorded."""
        returns = message.returns + 1
        self._instruments.returned(message.message_id, returns, DEAD_LETTER_QUEUE)
        # Messages that wait here use the prefetch. Half of it stays free for the others.
        doublings = min(returns - 1, 5) if self._waiting < _WAITING_LONG else 0
        self._waiting += 1
        try:
            await asyncio.sleep(_FIRST_WAIT_S * 2**doublings)
        finally:
            self._waiting -= 1
        try:
            await settle(incoming, renewed(message, returns), self._publisher, span)
        except Exception:
            log.exception(LogEvent.DEAD_LETTER_NOT_RECORDED, job_id=incoming.message_id)
            await requeue_after_error(incoming, span)

    async def _record(self, message: Message, span: MessageSpan) -> None:
        assigned = None if job_id_in(message) else await self._assign_job_id(message, span)
        letter = parse_dead_letter(message, self._max_attempts, assigned, self._redaction)
        await self._ensure_partition(JobId(letter.row.id))
        row = letter.row
        span.identified(
            row.id, org_id=row.org_id, endpoint_id=row.endpoint_id, event_type=row.event_type
        )
        try:
            became = await self._commits.submit(DeadLetterEntry(letter, span))
        except INVALID_DATA_ERRORS:
            stored = with_raw_payload(letter)
            became = await self._commits.submit(DeadLetterEntry(stored, span))
        if became is not None:
            is_accepted = assigned is None and letter.row.retry_of is None
            self._instruments.dead_letter(
                dead_reason(letter.failure, became.last),
                JobId(letter.row.id) if is_accepted else None,
                job_id=str(letter.row.id),
                org_id=str(letter.row.org_id),
                event_type=letter.row.event_type,
                call_id=letter.row.call_id,
                attempts=f"{became.attempts}/{self._max_attempts}",
                error_class=became.error_class,
                error_message=became.error_message,
                trace_id=span.context.trace_id,
            )

    async def _assign_job_id(self, message: Message, span: MessageSpan) -> JobId:
        try:
            return await self._log.assign_job_id(fingerprint(message), span)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            self._watch.failed(exc)
            raise DatabaseUnavailableError from exc
