"""Dead letters: read from their queue, recorded in the log, then removed from the queue."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.status import AttemptOutcome
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.services.processor.attempt.policy import Acknowledge, Verdict, needs_renewal
from ringback.services.processor.consume.message import Message
from ringback.services.processor.consume.message_handler import Consumers, MessageHandler
from ringback.services.processor.consume.settle import Settler
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.log.commit_batcher import CommitBatcher, RunsBatchers
from ringback.services.processor.log.dead_letter import (
    UNKNOWN_ORG,
    DeadLetterEntry,
    dead_reason,
    fingerprint,
    job_id_in,
    parse_dead_letter,
    renewed,
    with_raw_payload,
)
from ringback.services.processor.log.delivery_log import columns, link_previous_attempts
from ringback.services.processor.log.partitions import Partitions
from ringback.services.processor.spans import MessageSpan, Spans, shared_query
from ringback.services.processor.trace_links import last_of_dead_letter

_PACKAGE = "ringback.services.processor.log"
_FIRST_WAIT_S = 1.0
_MANY_WAITING = 10


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """A webhook that has just become a dead letter, and why."""

    attempts: int
    error_class: str
    error_message: str
    last: AttemptOutcome | None
    """The outcome of its last attempt; None if it never had one."""


class DeadLetterLog(RunsBatchers):
    """The part of the delivery log that dead letters need. Usable while entered."""

    def __init__(self, pool: asyncpg.Pool, partitions: Partitions, watch: DatabaseWatch) -> None:
        self._pool = pool
        self._partitions = partitions
        self._watch = watch
        self._recording = CommitBatcher(
            partitions.recreating(self._record_all, _job_id_of), _job_id_of, watch, workers=1
        )
        super().__init__(self._recording)

    async def check(self) -> None:
        """Run the statement without a dead letter. Raises what it would raise with one."""
        await self._record_all(())

    async def record(self, entry: DeadLetterEntry, span: MessageSpan) -> DeadLettered | None:
        """Record a webhook as a dead letter; None if it is one already, or is finished.

        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        await self._partitions.ensure(JobId(entry.row.id))
        return await self._recording.submit((entry, span))

    async def assign_job_id(self, fingerprint: str, span: MessageSpan) -> JobId:
        """Get an id for a message without one; every delivery of it gets the same id.

        Raises DatabaseUnavailableError.
        """
        try:
            with shared_query("assign_job_id", [span]):
                owner = await self._pool.fetchval(
                    load(_PACKAGE, "assign_job_id.sql"), new_job_id(), UNKNOWN_ORG, fingerprint
                )
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            self._watch.failed(exc)
            raise DatabaseUnavailableError from exc
        return JobId(owner)

    async def _record_all(
        self, items: Sequence[tuple[DeadLetterEntry, MessageSpan]]
    ) -> list[DeadLettered | None]:
        entries = [entry for entry, _ in items]
        failures = [entry.failure for entry in entries]
        ids, *others = columns([entry.row for entry in entries])
        async with self._pool.acquire() as connection:
            await link_previous_attempts(
                connection, [(span, last_of_dead_letter(entry.row.id)) for entry, span in items]
            )
            with shared_query("record_dead_letters", [span for _, span in items]):
                found = await connection.fetch(
                    load(_PACKAGE, "record_dead_letters.sql"),
                    ids,
                    [entry.attempt for entry in entries],
                    [failure.error_class if failure else None for failure in failures],
                    [failure.error_message if failure else None for failure in failures],
                    *others,
                    [
                        None if entry.retry_schedule is None else str(entry.retry_schedule)
                        for entry in entries
                    ],
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
        return [by_id.get(entry.row.id) for entry in entries]


class DeadLetterRecorder(MessageHandler):
    """Records each message of the dead-letter queue, and has it acknowledged."""

    queue = DEAD_LETTER_QUEUE
    is_dead_letter = True
    error_event = LogEvent.DEAD_LETTER_NOT_RECORDED

    def __init__(
        self,
        settler: Settler,
        spans: Spans,
        instruments: ProcessorInstruments,
        *,
        dead_letter_log: DeadLetterLog,
        redaction: Redaction,
        max_attempts: int,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        super().__init__(settler, spans, instruments, error_wait_s=first_wait_s)
        self._log = dead_letter_log
        self._redaction = redaction
        self._max_attempts = max_attempts
        self._first_wait_s = first_wait_s
        self._waiting = 0

    async def decide(self, message: Message, span: MessageSpan, consumers: Consumers) -> Verdict:
        del consumers
        if needs_renewal(message.deliveries_before):
            return renewed(message, message.requeues)
        job_id = job_id_in(message)
        assigned = None if job_id else await self._log.assign_job_id(fingerprint(message), span)
        entry = parse_dead_letter(message, self._max_attempts, assigned, self._redaction)
        row = entry.row
        span.identified(
            row.id, org_id=row.org_id, endpoint_id=row.endpoint_id, event_type=row.event_type
        )
        try:
            recorded = await self._log.record(entry, span)
        except INVALID_DATA_ERRORS:
            recorded = await self._log.record(with_raw_payload(entry), span)
        if recorded is not None:
            self._report(entry, recorded, span, is_accepted=assigned is None)
        return Acknowledge()

    async def after_error(self, message: Message, exc: BaseException) -> Verdict:
        """Wait, then move it behind the others. It stays in the queue until it is recorded."""
        requeues = message.requeues + 1
        self._instruments.requeued(message.message_id, requeues, type(exc).__qualname__)
        # Messages that wait here use the prefetch. Half of it stays free for the others.
        doublings = min(requeues - 1, 5) if self._waiting < _MANY_WAITING else 0
        self._waiting += 1
        try:
            await asyncio.sleep(self._first_wait_s * 2**doublings)
        finally:
            self._waiting -= 1
        return renewed(message, requeues)

    def _report(
        self,
        entry: DeadLetterEntry,
        recorded: DeadLettered,
        span: MessageSpan,
        *,
        is_accepted: bool,
    ) -> None:
        row = entry.row
        self._instruments.dead_lettered(
            dead_reason(entry.failure, recorded.last),
            JobId(row.id) if is_accepted and row.retry_of is None else None,
            job_id=str(row.id),
            org_id=str(row.org_id),
            event_type=row.event_type,
            call_id=row.call_id,
            attempts=f"{recorded.attempts}/{row.max_attempts}",
            error_class=recorded.error_class,
            error_message=recorded.error_message,
            trace_id=span.context.trace_id,
            span_id=span.context.span_id,
        )


def _job_id_of(item: tuple[DeadLetterEntry, MessageSpan]) -> JobId:
    return JobId(item[0].row.id)
