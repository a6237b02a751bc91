"""The delivery log in PostgreSQL: how attempts begin and end."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import Attempt
from ringback.contract.status import AttemptOutcome
from ringback.contract.trace_context import trace_context_of
from ringback.runtime.endpoints.forwards import ForwardTable
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, RowRefusedError
from ringback.runtime.postgres.queries import load, name_of
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import AttemptResult, Wait
from ringback.services.processor.builtin.voice_calls import ends_call
from ringback.services.processor.database_watch import DatabaseWatch
from ringback.services.processor.log.commit_batcher import CommitBatcher, RunsBatchers
from ringback.services.processor.log.forward_rows import forward_columns
from ringback.services.processor.log.partitions import Partitions
from ringback.services.processor.spans import MessageSpan, shared_query
from ringback.services.processor.trace_links import PreviousAttempt, previous_of_attempt
from ringback.services.processor.waits.wait_rows import wait_columns

_PACKAGE = "ringback.services.processor.log"
_LINK_TIMEOUT_S = 1.0

FinishedAttempt = tuple[AttemptContext, AttemptResult]
HeldWebhook = tuple[AttemptContext, Wait, Attempt]
"""A webhook, and the attempt for which it waits."""


class BeginResult(NamedTuple):
    """Whether an attempt may run. It may not if its outcome is recorded, or for a duplicate."""

    recorded: AttemptOutcome | None
    duplicate_of: UUID | None


class StartedTransaction(NamedTuple):
    """An attempt that began in a transaction, with the transaction's id, role and search path."""

    begun: BeginResult
    transaction_id: str
    role_name: str
    search_path: str


class RecordedAttempt(NamedTuple):
    """The recorded result of an attempt. `is_fresh` is false if it was recorded before.

    `wait` for the next attempt was committed with it. `has_given_turn`: with this commit, a parked
    webhook got its turn.
    """

    outcome: AttemptOutcome
    is_fresh: bool
    duplicate_of: UUID | None = None
    wait: Wait | None = None
    error_class: str | None = None
    has_given_turn: bool = False


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
    """Attempts that begin or end at the same time share a commit. Usable while entered.

    `on_wait` is called with each wait that was committed. `forwards` are those of the endpoints.
    """

    def __init__(self, pool: asyncpg.Pool, partitions: Partitions, watch: DatabaseWatch) -> None:
        self.pool = pool
        self.on_wait: Callable[[Wait], None] = _ignore
        self.forwards = ForwardTable()
        self._partitions = partitions
        self._beginning = CommitBatcher(
            partitions.recreating(self._begin_all, _job_id_of), _job_id_of, watch
        )
        self._finishing = CommitBatcher(
            partitions.recreating(self._finish_all, _finished_id_of), _finished_id_of, watch
        )
        self._holding = CommitBatcher(
            partitions.recreating(self._hold_all, _held_id_of), _held_id_of, watch
        )
        super().__init__(self._beginning, self._finishing, self._holding)

    async def check(self) -> None:
        """Run each statement without a webhook. Raises what it would raise with one."""
        await self._begin_all(())
        ids, *others = columns(())
        sql = load(_PACKAGE, "begin_transaction.sql")
        await self.pool.fetch(sql, ids, [], *others)
        await self._finish_all(())
        await self._hold_all(())

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
        """Commit an attempt with its status, and update its call. Other attempts share the commit.

        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        recorded = await self._finishing.submit((context, result))
        if recorded.wait is not None:
            self.on_wait(recorded.wait)
        return recorded

    async def hold(
        self, context: AttemptContext, wait: Wait, attempt: Attempt
    ) -> AttemptOutcome | None:
        """Commit that the webhook waits for an attempt, which was not used.

        Returns the outcome of that attempt if it was recorded meanwhile: then nothing is changed.
        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        recorded = await self._holding.submit((context, wait, attempt))
        if recorded is None:
            self.on_wait(wait)
        return recorded

    async def begin_transaction(
        self, connection: PoolConnectionProxy, context: AttemptContext
    ) -> StartedTransaction:
        """Begin an attempt in the open transaction that will finish it."""
        ids, *others = columns([row_of(context)])
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
        ids, *others = columns([row_of(context) for context in contexts])
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

    async def _hold_all(self, held: Sequence[HeldWebhook]) -> list[AttemptOutcome | None]:
        ids, *others = columns([row_of(context) for context, _, _ in held])
        with shared_query("hold_webhooks", [context.span for context, _, _ in held]):
            found = await self.pool.fetch(
                load(_PACKAGE, "hold_webhooks.sql"),
                ids,
                [attempt for _, _, attempt in held],
                *others,
                *wait_columns(held),
            )
        by_id = {record["delivery_id"]: _outcome(record["recorded_outcome"]) for record in found}
        return [by_id[context.envelope.job_id] for context, _, _ in held]

    async def _finish_all(self, finished: Sequence[FinishedAttempt]) -> list[RecordedAttempt]:
        async with self.pool.acquire() as connection:
            await link_attempts(connection, [context for context, _ in finished])
            try:
                return await self._record(connection, finished)
            except asyncpg.PostgresError as exc:
                if _refuses_call(exc):
                    raise RowRefusedError(f"voice_calls refuses the call: {exc}") from exc
                raise

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
        ids, *others = columns([row_of(context) for context in contexts])
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
                *wait_columns(_waits_after(finished)),
                [context.answer for context in contexts],
                *forward_columns(contexts, self.forwards),
                [context.envelope.job_id for context in contexts if context.order_key] or None,
                _own_schedules(contexts),
                *transaction,
            )
        by_id = {record["delivery_id"]: record for record in found}
        return [
            _recorded(by_id[context.envelope.job_id], result.wait) for context, result in finished
        ]


def _own_schedules(contexts: Sequence[AttemptContext]) -> list[str | None] | None:
    found = [context.envelope.retry_schedule for context in contexts]
    return [None if one is None else str(one) for one in found] if any(found) else None


def _refuses_call(exc: asyncpg.PostgresError) -> bool:
    """Whether a constraint or a trigger of somebody else refuses a row of `voice_calls`.

    Class 23 is also a missing partition of the log, and class P0 an exception of our own functions.
    """
    context = str(exc.context or "")
    return str(exc.sqlstate).startswith(("23", "P0")) and "merge_voice_calls" in context


def row_of(context: AttemptContext) -> LogRow:
    """What the log needs to know of a webhook in flight."""
    envelope = context.envelope
    return LogRow(
        id=envelope.job_id,
        org_id=envelope.org_id,
        endpoint_id=envelope.endpoint_id,
        event_type=envelope.event_type,
        event_data=context.redacted.text,
        altered=context.redacted.altered,
        max_attempts=context.schedule.max_attempts,
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
    Do not call it inside a transaction: if it fails, only the links are missing.
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
            # The log does not record whether it was sampled, and the link does not need it.
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


def _waits_after(finished: Iterable[FinishedAttempt]) -> list[HeldWebhook]:
    return [
        (context, result.wait, Attempt(context.attempt + 1))
        for context, result in finished
        if result.wait is not None
    ]


def _held_id_of(held: HeldWebhook) -> JobId:
    return held[0].envelope.job_id


def _recorded(row: asyncpg.Record, wait: Wait | None) -> RecordedAttempt:
    outcome, is_fresh = AttemptOutcome(row["final_outcome"]), row["is_fresh"]
    has_wait = is_fresh and outcome is AttemptOutcome.FAILED
    return RecordedAttempt(
        outcome,
        is_fresh,
        row["duplicate_of"],
        wait if has_wait else None,
        has_given_turn=row["has_given_turn"],
    )


def _ignore(_: Wait) -> None:
    """Nothing publishes what waits."""


def _outcome(word: str | None) -> AttemptOutcome | None:
    return None if word is None else AttemptOutcome(word)
