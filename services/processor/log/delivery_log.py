"""The delivery log in PostgreSQL: how attempts begin and end."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.identity import JobId
from ringback.contract.status import AttemptOutcome
from ringback.contract.trace_context import trace_context_of
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load, name_of
from services.processor.attempt.context import AttemptContext, AttemptResult
from services.processor.builtin.voice_calls import ends_call
from services.processor.database_watch import DatabaseWatch
from services.processor.log.commit_batcher import CommitBatcher, RunsBatchers
from services.processor.log.partitions import Partitions
from services.processor.spans import MessageSpan, shared_query
from services.processor.trace_links import PreviousAttempt, previous_of_attempt

_PACKAGE = "services.processor.log"
_LINK_TIMEOUT_S = 1.0

FinishedAttempt = tuple[AttemptContext, AttemptResult]


class BeginResult(NamedTuple):
    """Whether an attempt may run. It may not if its outcome is recorded, or for a duplicate."""

    recorded: AttemptOutcome | None
    duplicate_of: UUID | None


class StartedTransaction(NamedTuple):
    """An attempt that began in a transaction: that transaction, and what names mean in it."""

    begun: BeginResult
    transaction_id: str
    role_name: str
    search_path: str


class RecordedAttempt(NamedTuple):
    """The recorded result of an attempt. `is_fresh` is false if it was recorded before."""

    outcome: AttemptOutcome
    is_fresh: bool
    duplicate_of: UUID | None


class LogRow(NamedTuple):
    """What the log needs to know of a webhook if the gateway's row is missing.

    The fields are in the order in which the functions of the log take them.
    """

    id: UUID
    org_id: UUID
    endpoint_id: str
    event_type: str
    event_data: str
    altered: bool
    max_attempts: int
    call_id: str | None
    dedup_key: str | None
    gateway_instance_id: UUID | None
    retry_of: UUID | None


def columns(rows: Sequence[LogRow]) -> list[list[object]]:
    """One list per field of the rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in LogRow._fields]


class DeliveryLog(RunsBatchers):
    """Attempts that begin or end at the same time share a commit. Usable while entered."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        partitions: Partitions,
        watch: DatabaseWatch,
        *,
        max_attempts: int,
    ) -> None:
        self.pool = pool
        self._partitions = partitions
        self._max_attempts = max_attempts
        self._beginning = CommitBatcher(
            partitions.recreating(self._begin_all, _job_id_of), _job_id_of, watch
        )
        self._finishing = CommitBatcher(
            partitions.recreating(self._finish_all, _finished_id_of), _finished_id_of, watch
        )
        super().__init__(self._beginning, self._finishing)

    async def check(self) -> None:
        """Run each statement without a webhook. Raises what it would raise with one."""
        await self._begin_all(())
        ids, *others = columns(())
        sql = load(_PACKAGE, "begin_transaction.sql")
        await self.pool.fetch(sql, ids, [], *others)
        await self._finish_all(())

    async def ensure_partition(self, job_id: JobId) -> None:
        """Return once the log has a partition for this id.

        Raises DatabaseUnavailableError after the wait.
        """
        await self._partitions.ensure(job_id)

    async def begin(self, context: AttemptContext) -> BeginResult:
        """Claim the event and set its status to `processing`.

        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        return await self._beginning.submit(context)

    async def finish(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
        """Record an attempt with its status, and update its call.

        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        return await self._finishing.submit((context, result))

    async def begin_transaction(
        self, connection: PoolConnectionProxy, context: AttemptContext
    ) -> StartedTransaction:
        """Begin an attempt in the open transaction that will finish it."""
        ids, *others = columns([self._row(context)])
        sql = load(_PACKAGE, "begin_transaction.sql")
        with shared_query("begin_transaction", [context.span]):
            [found] = await connection.fetch(sql, ids, [context.attempt], *others)
        return StartedTransaction(
            BeginResult(_outcome(found["recorded_outcome"]), found["duplicate_of"]),
            found["transaction_id"],
            found["role_name"],
            found["search_path"],
        )

    async def finish_transaction(
        self,
        connection: PoolConnectionProxy,
        started: StartedTransaction,
        context: AttemptContext,
        result: AttemptResult,
    ) -> RecordedAttempt:
        """Complete the attempt and update its call, if this transaction began it.

        The answer is valid once committed. Roll back unless it is fresh and complete. Raises
        whatever a statement can raise.
        """
        _, *transaction = started
        [recorded] = await self._record(
            connection, [(context, result)], "finish_transaction.sql", *transaction
        )
        return recorded

    async def _begin_all(self, contexts: Sequence[AttemptContext]) -> list[BeginResult]:
        ids, *others = columns([self._row(context) for context in contexts])
        with shared_query("begin_attempts", [context.span for context in contexts]):
            found = await self.pool.fetch(
                load(_PACKAGE, "begin_attempts.sql"),
                ids,
                [context.attempt for context in contexts],
                *others,
            )
        by_id = {
            record["delivery_id"]: BeginResult(
                _outcome(record["recorded_outcome"]), record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[context.envelope.job_id] for context in contexts]

    async def _finish_all(self, finished: Sequence[FinishedAttempt]) -> list[RecordedAttempt]:
        async with self.pool.acquire() as connection:
            await link_attempts(connection, [context for context, _ in finished])
            return await self._record(connection, finished)

    async def _record(
        self,
        connection: PoolConnectionProxy,
        finished: Sequence[FinishedAttempt],
        statement: str = "finish_attempts.sql",
        *transaction: str,
    ) -> list[RecordedAttempt]:
        contexts = [context for context, _ in finished]
        results = [result for _, result in finished]
        traces = [context.span.context for context in contexts]
        ids, *others = columns([self._row(context) for context in contexts])
        sql = load(_PACKAGE, statement)
        with shared_query(name_of(sql), [context.span for context in contexts]):
            found = await connection.fetch(
                sql,
                ids,
                [context.attempt for context in contexts],
                [result.outcome.value for result in results],
                [context.started_at for context in contexts],
                [context.ended_at for context in contexts],
                [result.error_class for result in results],
                [result.error_message for result in results],
                [trace.trace_id for trace in traces],
                [trace.span_id for trace in traces],
                [context.envelope.job_id for context in contexts if _ends_call(context)],
                _call_updates(results),
                *others,
                *transaction,
            )
        by_id = {
            record["delivery_id"]: RecordedAttempt(
                AttemptOutcome(record["final_outcome"]), record["is_fresh"], record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[context.envelope.job_id] for context in contexts]

    def _row(self, context: AttemptContext) -> LogRow:
        envelope = context.envelope
        return LogRow(
            id=envelope.job_id,
            org_id=envelope.org_id,
            endpoint_id=envelope.endpoint_id,
            event_type=envelope.event_type,
            event_data=context.redacted.text,
            altered=context.redacted.altered,
            max_attempts=self._max_attempts,
            call_id=context.event.call_id,
            dedup_key=envelope.dedup_key,
            gateway_instance_id=envelope.gateway_instance_id,
            retry_of=envelope.retry_of,
        )


async def link_attempts(
    connection: PoolConnectionProxy, contexts: Iterable[AttemptContext]
) -> None:
    """Link each attempt to the one before it."""
    await link_previous_attempts(
        connection,
        [
            (
                context.span,
                previous_of_attempt(
                    context.envelope.job_id, context.attempt, context.envelope.retry_of
                ),
            )
            for context in contexts
        ],
    )


async def link_previous_attempts(
    connection: PoolConnectionProxy, spans: Sequence[tuple[MessageSpan, PreviousAttempt | None]]
) -> None:
    """Link each span to the attempt before it, if the span is sampled and there was one.

    The message cannot carry the link: the broker moves a rejected message without changes. The row
    of an attempt is committed before its message is settled, so the next attempt always finds it.
    Not inside a transaction: a failure costs the links and nothing else.
    """
    wanted = [(span, previous) for span, previous in spans if previous and span.wants_previous]
    if not wanted:
        return
    with suppress(*DATABASE_UNAVAILABLE_ERRORS):
        found = await connection.fetch(
            load(_PACKAGE, "previous_attempts.sql"),
            [previous.job_id for _, previous in wanted],
            [previous.attempt for _, previous in wanted],
            timeout=_LINK_TIMEOUT_S,
        )
        for record in found:
            # Whether it was sampled is not recorded; the origin's sampling already decided.
            context = trace_context_of(f"00-{record['trace_id']}-{record['span_id']}-00", None)
            if context is not None:
                wanted[record["place"] - 1][0].link_previous(context)


def _call_updates(results: Iterable[AttemptResult]) -> str | None:
    updates = [result.call_update for result in results if result.call_update is not None]
    return orjson.dumps(updates).decode() if updates else None


def _ends_call(context: AttemptContext) -> bool:
    return ends_call(context.envelope.event_type, context.event.message)


def _job_id_of(context: AttemptContext) -> JobId:
    return context.envelope.job_id


def _finished_id_of(finished: FinishedAttempt) -> JobId:
    return finished[0].envelope.job_id


def _outcome(word: str | None) -> AttemptOutcome | None:
    return None if word is None else AttemptOutcome(word)
