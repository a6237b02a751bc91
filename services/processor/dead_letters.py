"""Records each dead letter in the log, and only then removes it from its queue."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.status import AttemptOutcome
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from ringback.runtime.postgres.queries import load
from services.processor.database_watch import DatabaseWatch
from services.processor.dead_letter import (
    NOBODYS_ORG,
    DeadLetter,
    dead_letter_of,
    fingerprint,
    job_id_in,
    reason_of,
    renewed,
    with_raw_body,
)
from services.processor.delivery import Message
from services.processor.group_commit import DatabaseAwayError, GroupCommit
from services.processor.lanes import message_of
from services.processor.log_days import NeedDay
from services.processor.log_rows import columns
from services.processor.message_span import MessageSpan
from services.processor.observe import Observer
from services.processor.policy import Acknowledge, is_worn
from services.processor.previous_attempts import link_previous_attempts
from services.processor.settle import Publisher, give_back, give_back_after_a_bug, settle
from services.processor.shared_query import shared_query
from services.processor.spans import Spans
from services.processor.trace_links import before_burial

_PACKAGE = "services.processor"
_FIRST_WAIT_S = 1.0
_WAITING_LONG = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Became:
    """A webhook that has just become a dead letter, and why."""

    attempts: int
    error_class: str
    error_message: str
    last: AttemptOutcome | None
    """The outcome of its last attempt; None if it never had one."""


@dataclass(frozen=True, slots=True)
class Burial:
    """A dead letter to record, and the span of its message."""

    letter: DeadLetter
    span: MessageSpan


class DeadLetterLog:
    """The part of the delivery log that dead letters need."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, burials: Sequence[Burial]) -> list[Became | None]:
        """Record webhooks as dead letters; None for one that is one already, or is finished."""
        rows = [burial.letter.row for burial in burials]
        failures = [burial.letter.failure for burial in burials]
        spans = [burial.span for burial in burials]
        async with self._pool.acquire() as connection:
            lasts = [before_burial(row.id) for row in rows]
            await link_previous_attempts(connection, list(zip(spans, lasts, strict=True)))
            with shared_query("record_dead_letters", spans):
                found = await connection.fetch(
                    load(_PACKAGE, "record_dead_letters.sql"),
                    [row.id for row in rows],
                    [burial.letter.attempt for burial in burials],
                    [failure.error_class if failure else None for failure in failures],
                    [failure.error_message if failure else None for failure in failures],
                    *columns(rows),
                )
        by_id = {
            record["delivery_id"]: Became(
                record["attempts"],
                record["error_class"],
                record["error_message"],
                None if record["last"] is None else AttemptOutcome(record["last"]),
            )
            for record in found
        }
        return [by_id.get(row.id) for row in rows]

    async def adopt(self, name: str, span: MessageSpan) -> JobId:
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
        commits: GroupCommit[Burial, Became | None],
        need_day: NeedDay,
        redaction: Redaction,
        max_attempts: int,
        publisher: Publisher,
        watch: DatabaseWatch,
        on_database_away: Callable[[], Awaitable[None]],
        observer: Observer,
        spans: Spans,
    ) -> None:
        self._log = dead_letter_log
        self._commits = commits
        self._need_day = need_day
        self._redaction = redaction
        self._max_attempts = max_attempts
        self._publisher = publisher
        self._watch = watch
        self._on_database_away = on_database_away
        self._observer = observer
        self._spans = spans
        self._waiting = 0

    async def take(self, incoming: AbstractIncomingMessage) -> None:
        """Record one message of the dead-letter queue, then acknowledge it."""
        message = message_of(incoming)
        with self._spans.begin(message, DEAD_LETTER_QUEUE, is_dead_letter=True) as span:
            try:
                if is_worn(message.deliveries_before):
                    await settle(incoming, renewed(message, message.returns), self._publisher, span)
                    return
                await self._record(message, span)
                await settle(incoming, Acknowledge(), self._publisher, span)
            except DatabaseAwayError as exc:
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
        self._observer.returned(message.message_id, returns, DEAD_LETTER_QUEUE)
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
            await give_back_after_a_bug(incoming, span)

    async def _record(self, message: Message, span: MessageSpan) -> None:
        adopted = None if job_id_in(message) else await self._adopt(message, span)
        letter = dead_letter_of(message, self._max_attempts, adopted, self._redaction)
        await self._need_day(JobId(letter.row.id))
        span.holds(letter.row)
        try:
            became = await self._commits.submit(Burial(letter, span))
        except INVALID_DATA_ERRORS:
            stored = with_raw_body(letter)
            became = await self._commits.submit(Burial(stored, span))
        if became is not None:
            is_accepted = adopted is None and letter.row.retry_of is None
            self._observer.dead_letter(
                reason_of(letter.failure, became.last),
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

    async def _adopt(self, message: Message, span: MessageSpan) -> JobId:
        try:
            return await self._log.adopt(fingerprint(message), span)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            self._watch.failed(exc)
            raise DatabaseAwayError from exc
