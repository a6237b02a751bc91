"""The delivery log in PostgreSQL: how attempts begin and end."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.status import AttemptOutcome
from ringback.contract.trace_context import trace_context_of
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load, name_of
from services.processor.attempt.context import AttemptContext, Effect, Outcome, completed
from services.processor.attempt.handler_connection import HandlerConnection
from services.processor.builtin.voice_calls import ends_call
from services.processor.consume.message import Delivery
from services.processor.spans import MessageSpan, shared_query
from services.processor.trace_links import PreviousAttempt, previous_of_attempt

_PACKAGE = "services.processor.log"
_LINK_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class BeginResult:
    """Whether an attempt may run. It may not if its outcome is recorded, or for a duplicate."""

    recorded: AttemptOutcome | None
    duplicate_of: UUID | None


@dataclass(frozen=True, slots=True)
class StartedTransaction:
    """An attempt that began in a transaction: that transaction, and what names mean in it."""

    begun: BeginResult
    transaction_id: str
    role_name: str
    search_path: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt, with the result of its handlers."""

    context: AttemptContext
    outcome: Outcome
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """The recorded result of an attempt. `is_fresh` is false if it was recorded before."""

    outcome: AttemptOutcome
    is_fresh: bool
    duplicate_of: UUID | None


class DeliveryLog:
    """Each method is one transaction for all its items; no webhook may occur in it twice."""

    def __init__(self, pool: asyncpg.Pool, max_attempts: int) -> None:
        self._pool = pool
        self._max_attempts = max_attempts

    async def begin(self, attempts: Sequence[AttemptContext]) -> list[BeginResult]:
        """Claim the events and set their status to `processing`."""
        rows = [log_row(attempt.delivery, self._max_attempts) for attempt in attempts]
        org_ids, *others = columns(rows)
        with shared_query("begin_attempts", [attempt.span for attempt in attempts]):
            found = await self._pool.fetch(
                load(_PACKAGE, "begin_attempts.sql"),
                [row.id for row in rows],
                [attempt.delivery.attempt for attempt in attempts],
                org_ids,
                *others,
            )
        by_id = {
            record["delivery_id"]: BeginResult(
                _outcome(record["recorded_outcome"]), record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[row.id] for row in rows]

    async def finish(self, ended: Sequence[Ended]) -> list[RecordedAttempt]:
        """Record the attempts, with their effects and statuses."""
        if not any(attempt.outcome.effects or reports_end(attempt.context) for attempt in ended):
            async with self._pool.acquire() as connection:
                await link_previous_attempts(connection, _with_those_before(ended))
                return await self._finish(connection, ended)
        async with self._pool.acquire() as connection:
            await link_previous_attempts(connection, _with_those_before(ended))
            async with connection.transaction():
                recorded = await self._finish(connection, ended)
                fresh = [
                    (attempt, result.outcome)
                    for attempt, result in zip(ended, recorded, strict=True)
                    if result.is_fresh
                ]
                same = await unchanged_duplicates(
                    connection,
                    [
                        attempt.context
                        for attempt, outcome in fresh
                        if outcome is AttemptOutcome.DUPLICATE
                    ],
                )
                await _apply(
                    connection,
                    [
                        (effect, attempt.context.span)
                        for attempt, outcome in fresh
                        if attempt.context.delivery.envelope.job_id not in same
                        for effect in attempt.outcome.effects
                        if effect.when is outcome
                    ],
                )
        return recorded

    async def begin_transaction(
        self, connection: HandlerConnection, context: AttemptContext
    ) -> StartedTransaction:
        """Begin an attempt in the transaction that will finish it, on an untouched connection."""
        ours = connection.ours
        await link_previous_attempts(ours, _with_those_before([_completed(context)]))
        await connection.begin()
        row = log_row(context.delivery, self._max_attempts)
        with shared_query("begin_transaction", [context.span]):
            [found] = await ours.fetch(
                load(_PACKAGE, "begin_transaction.sql"),
                [row.id],
                [context.delivery.attempt],
                *columns([row]),
            )
        return StartedTransaction(
            BeginResult(_outcome(found["recorded_outcome"]), found["duplicate_of"]),
            found["transaction_id"],
            found["role_name"],
            found["search_path"],
        )

    async def finish_transaction(
        self,
        connection: HandlerConnection,
        begun: StartedTransaction,
        ended: Ended,
    ) -> RecordedAttempt:
        """Complete the attempt with its effects, if this transaction began it.

        The answer is valid once committed. Roll back unless it is fresh and complete. Raises
        whatever a statement can raise.
        """
        [recorded] = await self._finish(
            connection.ours,
            [ended],
            "finish_transaction.sql",
            begun.transaction_id,
            begun.role_name,
            begun.search_path,
        )
        if recorded.is_fresh and recorded.outcome is AttemptOutcome.COMPLETED:
            effects = [one for one in ended.outcome.effects if one.when is recorded.outcome]
            await _apply(connection.ours, [(one, ended.context.span) for one in effects])
        return recorded

    async def reach_transactions(self) -> None:
        """Do what `begin_transaction` does, without a webhook. Raises what it would raise."""
        nothing = columns(())
        await self._pool.fetch(load(_PACKAGE, "begin_transaction.sql"), [], [], *nothing)

    async def connect(self) -> HandlerConnection:
        return HandlerConnection(self._pool, await self._pool.acquire())

    async def fate(self, transaction_id: str) -> str | None:
        """`committed`, `aborted` or `in progress`; None if that is too long ago."""
        found = await self._pool.fetchrow(load(_PACKAGE, "transaction_fate.sql"), transaction_id)
        return found["fate"] if found else None

    async def _finish(
        self,
        connection: PoolConnectionProxy,
        ended: Sequence[Ended],
        statement: str = "finish_attempts.sql",
        *proof: str,
    ) -> list[RecordedAttempt]:
        attempts = [one.context for one in ended]
        rows = [log_row(attempt.delivery, self._max_attempts) for attempt in attempts]
        traces = [attempt.span.context for attempt in attempts]
        sql = load(_PACKAGE, statement)
        with shared_query(name_of(sql), [attempt.span for attempt in attempts]):
            found = await connection.fetch(
                sql,
                [row.id for row in rows],
                [attempt.delivery.attempt for attempt in attempts],
                [one.outcome.kind.value for one in ended],
                [attempt.started_at for attempt in attempts],
                [one.ended_at for one in ended],
                [one.outcome.error_class for one in ended],
                [one.outcome.error_message for one in ended],
                [trace.trace_id for trace in traces],
                [trace.span_id for trace in traces],
                *columns(rows),
                *proof,
            )
        by_id = {
            record["delivery_id"]: RecordedAttempt(
                AttemptOutcome(record["final_outcome"]), record["is_fresh"], record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[row.id] for row in rows]


async def _apply(
    connection: PoolConnectionProxy, effects: list[tuple[Effect, MessageSpan]]
) -> None:
    effects.sort(key=lambda one: (one[0].statement, one[0].order))
    for statement, group in groupby(effects, key=lambda one: one[0].statement):
        same = list(group)
        with shared_query(name_of(statement), dict.fromkeys(span for _, span in same)):
            await connection.executemany(statement, [effect.arguments for effect, _ in same])


def _completed(context: AttemptContext) -> Ended:
    return Ended(context, completed(), context.started_at)


def _with_those_before(ended: Sequence[Ended]) -> list[tuple[MessageSpan, PreviousAttempt | None]]:
    return [
        (
            one.context.span,
            previous_of_attempt(
                one.context.delivery.envelope.job_id,
                one.context.delivery.attempt,
                one.context.delivery.envelope.retry_of,
            ),
        )
        for one in ended
    ]


def _outcome(word: str | None) -> AttemptOutcome | None:
    return None if word is None else AttemptOutcome(word)


@dataclass(frozen=True, slots=True)
class LogRow:
    """What the log needs to know of a webhook if the gateway's row is missing."""

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


def log_row(delivery: Delivery, max_attempts: int) -> LogRow:
    envelope, event = delivery.envelope, delivery.event
    return LogRow(
        id=envelope.job_id,
        org_id=envelope.org_id,
        endpoint_id=envelope.endpoint_id,
        event_type=envelope.event_type,
        event_data=delivery.redacted.text,
        altered=delivery.redacted.altered,
        max_attempts=max_attempts,
        call_id=event.call_id,
        dedup_key=envelope.dedup_key,
        gateway_instance_id=envelope.gateway_instance_id,
        retry_of=envelope.retry_of,
    )


def columns(rows: Sequence[LogRow]) -> tuple[list[object], ...]:
    """One list per column after the id, in the order in which the functions take them."""
    return (
        [row.org_id for row in rows],
        [row.endpoint_id for row in rows],
        [row.event_type for row in rows],
        [row.event_data for row in rows],
        [row.altered for row in rows],
        [row.max_attempts for row in rows],
        [row.call_id for row in rows],
        [row.dedup_key for row in rows],
        [row.gateway_instance_id for row in rows],
        [row.retry_of for row in rows],
    )


def reports_end(context: AttemptContext) -> bool:
    delivery = context.delivery
    return ends_call(delivery.envelope.event_type, delivery.event.message)


async def unchanged_duplicates(
    connection: PoolConnectionProxy, duplicates: Sequence[AttemptContext]
) -> set[UUID]:
    """The duplicates that add nothing to their first. The others are marked in the log."""
    reports = [context for context in duplicates if reports_end(context)]
    if not reports:
        return set()
    with shared_query("compare_duplicates", [context.span for context in reports]):
        compared = await connection.fetch(
            load(_PACKAGE, "compare_duplicates.sql"),
            [context.delivery.envelope.job_id for context in reports],
        )
    return {row["id"] for row in compared if not row["may_differ"]}


async def link_previous_attempts(
    connection: PoolConnectionProxy, asked: Sequence[tuple[MessageSpan, PreviousAttempt | None]]
) -> None:
    """Link each span to the attempt before it, if the span is sampled and there was one.

    The message cannot carry the link: the broker moves a rejected message without changes. The row
    of an attempt is committed before its message is settled, so the next attempt always finds it.
    Not inside a transaction: a failure costs the links and nothing else.
    """
    wanted = [(span, before) for span, before in asked if before and span.wants_previous]
    if not wanted:
        return
    with suppress(*DATABASE_UNAVAILABLE_ERRORS):
        found = await connection.fetch(
            load(_PACKAGE, "previous_attempts.sql"),
            [before.job_id for _, before in wanted],
            [before.attempt for _, before in wanted],
            timeout=_LINK_TIMEOUT_S,
        )
        for record in found:
            # Whether it was sampled is not recorded; the origin's sampling already decided.
            context = trace_context_of(f"00-{record['trace_id']}-{record['span_id']}-00", None)
            if context is not None:
                wanted[record["place"] - 1][0].link_previous(context)
