"""The delivery log in PostgreSQL: how attempts begin and end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.status import AttemptOutcome
from ringback.runtime.postgres.queries import load, name_of
from services.processor.attempting import Attempting
from services.processor.duplicate_reports import reports_end, unchanged_duplicates
from services.processor.handler_connection import HandlerConnection
from services.processor.log_rows import columns, log_row
from services.processor.message_span import MessageSpan
from services.processor.outcome import Effect, Outcome, completed
from services.processor.previous_attempts import link_previous_attempts
from services.processor.shared_query import shared_query
from services.processor.trace_links import Before, before_attempt

_PACKAGE = "services.processor"


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether an attempt may run. It may not if its outcome is recorded, or for a duplicate."""

    recorded: AttemptOutcome | None
    duplicate_of: UUID | None


@dataclass(frozen=True, slots=True)
class BegunTransaction:
    """An attempt that began in a transaction: that transaction, and what names mean in it."""

    begun: Begun
    transaction_id: str
    role_name: str
    search_path: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt, with the result of its handlers."""

    attempting: Attempting
    outcome: Outcome
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recorded result of an attempt. `is_fresh` is false if it was recorded before."""

    outcome: AttemptOutcome
    is_fresh: bool
    duplicate_of: UUID | None


class DeliveryLog:
    """Each method is one transaction for all its items; no webhook may occur in it twice."""

    def __init__(self, pool: asyncpg.Pool, max_attempts: int) -> None:
        self._pool = pool
        self._max_attempts = max_attempts

    async def begin(self, attempts: Sequence[Attempting]) -> list[Begun]:
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
            record["delivery_id"]: Begun(
                _outcome(record["recorded_outcome"]), record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[row.id] for row in rows]

    async def finish(self, ended: Sequence[Ended]) -> list[Recorded]:
        """Record the attempts, with their effects and statuses."""
        if not any(attempt.outcome.effects or reports_end(attempt.attempting) for attempt in ended):
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
                        attempt.attempting
                        for attempt, outcome in fresh
                        if outcome is AttemptOutcome.DUPLICATE
                    ],
                )
                await _apply(
                    connection,
                    [
                        (effect, attempt.attempting.span)
                        for attempt, outcome in fresh
                        if attempt.attempting.delivery.envelope.job_id not in same
                        for effect in attempt.outcome.effects
                        if effect.when is outcome
                    ],
                )
        return recorded

    async def begin_transaction(
        self, connection: HandlerConnection, attempting: Attempting
    ) -> BegunTransaction:
        """Begin an attempt in the transaction that will finish it, on an untouched connection."""
        ours = connection.ours
        await link_previous_attempts(ours, _with_those_before([_completed(attempting)]))
        await connection.begin()
        row = log_row(attempting.delivery, self._max_attempts)
        with shared_query("begin_transaction", [attempting.span]):
            [found] = await ours.fetch(
                load(_PACKAGE, "begin_transaction.sql"),
                [row.id],
                [attempting.delivery.attempt],
                *columns([row]),
            )
        return BegunTransaction(
            Begun(_outcome(found["recorded_outcome"]), found["duplicate_of"]),
            found["transaction_id"],
            found["role_name"],
            found["search_path"],
        )

    async def finish_transaction(
        self,
        connection: HandlerConnection,
        begun: BegunTransaction,
        ended: Ended,
    ) -> Recorded:
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
            await _apply(connection.ours, [(one, ended.attempting.span) for one in effects])
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
    ) -> list[Recorded]:
        attempts = [one.attempting for one in ended]
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
            record["delivery_id"]: Recorded(
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


def _completed(attempting: Attempting) -> Ended:
    return Ended(attempting, completed(), attempting.started_at)


def _with_those_before(ended: Sequence[Ended]) -> list[tuple[MessageSpan, Before | None]]:
    return [
        (
            one.attempting.span,
            before_attempt(
                one.attempting.delivery.envelope.job_id,
                one.attempting.delivery.attempt,
                one.attempting.delivery.envelope.retry_of,
            ),
        )
        for one in ended
    ]


def _outcome(word: str | None) -> AttemptOutcome | None:
    return None if word is None else AttemptOutcome(word)
