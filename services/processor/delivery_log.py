"""The delivery log in PostgreSQL: how attempts begin and end there."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.status import AttemptOutcome
from ringback.runtime.queries import load
from services.processor.delivery import Delivery
from services.processor.log_rows import columns, log_row
from services.processor.outcome import Effect, Outcome, completed

_PACKAGE = "services.processor"


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether an attempt may run: not when its outcome is recorded, nor when it is a duplicate."""

    recorded: AttemptOutcome | None
    duplicate_of: UUID | None


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt, with what its handlers came to."""

    delivery: Delivery
    outcome: Outcome
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the log holds of an attempt now. `is_fresh` is false where it held it before."""

    outcome: AttemptOutcome
    is_fresh: bool
    duplicate_of: UUID | None


class DeliveryLog:
    """Each method is one transaction over all that it is given; no webhook may be in it twice."""

    def __init__(self, pool: asyncpg.Pool, max_attempts: int) -> None:
        self._pool = pool
        self._max_attempts = max_attempts

    async def begin(self, deliveries: Sequence[Delivery]) -> list[Begun]:
        """Claim the events and note that they are processing."""
        rows = [log_row(delivery, self._max_attempts) for delivery in deliveries]
        org_ids, *others = columns(rows)
        found = await self._pool.fetch(
            load(_PACKAGE, "begin_attempts.sql"),
            [row.id for row in rows],
            [delivery.attempt for delivery in deliveries],
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
        """Write the attempts down, with their effects and statuses."""
        if not any(attempt.outcome.effects for attempt in ended):
            async with self._pool.acquire() as connection:
                return await self._finish(connection, ended)
        async with self._pool.acquire() as connection, connection.transaction():
            recorded = await self._finish(connection, ended)
            await _apply(
                connection,
                [
                    effect
                    for attempt, result in zip(ended, recorded, strict=True)
                    if result.is_fresh and result.outcome is AttemptOutcome.COMPLETED
                    for effect in attempt.outcome.effects
                ],
            )
        return recorded

    @asynccontextmanager
    async def finishing(
        self, delivery: Delivery, started_at: datetime
    ) -> AsyncGenerator[tuple[PoolConnectionProxy, Recorded], None]:
        """The transaction that completes one attempt, open for what its handlers write.

        It begins with the attempt's row. What is raised inside rolls all of it back.
        """
        ended = Ended(delivery, completed(), started_at, started_at)
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    [recorded] = await self._finish(connection, [ended])
                    yield connection, recorded
            finally:
                # The handlers are not ours: they may have left locks or settings in the session.
                await connection.reset()

    @staticmethod
    async def end_now(
        connection: PoolConnectionProxy,
        delivery: Delivery,
        ended_at: datetime,
        effects: Sequence[Effect],
    ) -> None:
        """Complete what `finishing` began: its effects, and the time at which it really ended."""
        await _apply(connection, list(effects))
        await connection.execute(
            load(_PACKAGE, "end_attempt_now.sql"),
            delivery.envelope.job_id,
            delivery.attempt,
            ended_at,
        )

    async def _finish(
        self, connection: PoolConnectionProxy, ended: Sequence[Ended]
    ) -> list[Recorded]:
        rows = [log_row(attempt.delivery, self._max_attempts) for attempt in ended]
        found = await connection.fetch(
            load(_PACKAGE, "finish_attempts.sql"),
            [row.id for row in rows],
            [attempt.delivery.attempt for attempt in ended],
            [attempt.outcome.kind.value for attempt in ended],
            [attempt.started_at for attempt in ended],
            [attempt.ended_at for attempt in ended],
            [attempt.outcome.error_class for attempt in ended],
            [attempt.outcome.error_message for attempt in ended],
            [attempt.delivery.envelope.trace.trace_id for attempt in ended],
            [attempt.delivery.envelope.trace.span_id for attempt in ended],
            *columns(rows),
        )
        by_id = {
            record["delivery_id"]: Recorded(
                AttemptOutcome(record["final_outcome"]), record["is_fresh"], record["duplicate_of"]
            )
            for record in found
        }
        return [by_id[row.id] for row in rows]


async def _apply(connection: PoolConnectionProxy, effects: list[Effect]) -> None:
    effects.sort(key=attrgetter("statement", "order"))
    for statement, group in groupby(effects, key=attrgetter("statement")):
        await connection.executemany(statement, [effect.arguments for effect in group])


def _outcome(word: str | None) -> AttemptOutcome | None:
    return None if word is None else AttemptOutcome(word)
