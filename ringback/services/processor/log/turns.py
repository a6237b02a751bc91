"""Turns: of the webhooks of a call with an ordered handler, one at a time runs.

`0011_order.sql` has the rules. A webhook takes its turn before its handlers run; the statement that
ends it gives the turn to the next one.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
import structlog

from ringback.contract.identity import JobId
from ringback.contract.status import WaitReason
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import detail_of
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.database_watch import DatabaseWatch
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.log.commit_batcher import CommitBatcher, RunsBatchers
from ringback.services.processor.log.delivery_log import columns, row_of
from ringback.services.processor.log.partitions import Partitions
from ringback.services.processor.spans import shared_query
from ringback.services.processor.waits.wait_rows import wait_columns

_PACKAGE = "ringback.services.processor.log"
_CHECK_EVERY_S = 5.0
_CHECK_TIMEOUT_S = 5.0

log = structlog.get_logger()


class Turns(RunsBatchers):
    """Takes turns, and parks what has to wait for one. Usable while entered.

    `ordered_types` are the event types with an ordered handler; `*` is all.
    """

    def __init__(self, pool: asyncpg.Pool, partitions: Partitions, watch: DatabaseWatch) -> None:
        self.ordered_types: list[str] = []
        self._pool = pool
        self._taking = CommitBatcher(self._take_all, _job_id_of, watch)
        self._parking = CommitBatcher(
            partitions.recreating(self._park_all, _job_id_of), _job_id_of, watch, max_items=1
        )
        super().__init__(self._taking, self._parking)

    async def check(self) -> None:
        """Run each statement without a webhook. Raises what it would raise with one."""
        await self._take_all(())
        ids, *others = columns(())
        sql = load(_PACKAGE, "park_webhooks.sql")
        await self._pool.fetch(sql, ids, [], *others, None, None, [], [])

    async def take(self, context: AttemptContext) -> Wait | None:
        """Take the turn of a webhook, or park it: then return the wait that was committed.

        Raises one of INVALID_DATA_ERRORS, or DatabaseUnavailableError.
        """
        if await self._taking.submit(context):
            return None
        # Only now its body is sent. Meanwhile it may be its turn.
        return None if await self._parking.submit(context) else _wait_of(context)

    async def _take_all(self, contexts: Sequence[AttemptContext]) -> list[bool]:
        """Whether each has its turn."""
        with shared_query("take_turns", [context.span for context in contexts]):
            found = await self._pool.fetch(
                load(_PACKAGE, "take_turns.sql"),
                [context.envelope.job_id for context in contexts],
                [context.attempt for context in contexts],
                [context.envelope.org_id for context in contexts],
                [context.order_key for context in contexts],
                self.ordered_types,
            )
        behind = {record["delivery_id"] for record in found}
        return [context.envelope.job_id not in behind for context in contexts]

    async def _park_all(self, contexts: Sequence[AttemptContext]) -> list[bool]:
        """Whether it has its turn now. Each is parked in a commit of its own."""
        [context] = contexts
        ids, *others = columns([row_of(context)])
        waits = [(context, _wait_of(context), context.attempt)]
        with shared_query("park_webhooks", [context.span]):
            is_parked = await self._pool.fetchval(
                load(_PACKAGE, "park_webhooks.sql"),
                ids,
                [context.attempt],
                *others,
                *wait_columns(waits),
                [context.order_key],
                self.ordered_types,
            )
        return [not is_parked]


class TurnWatch:
    """Passes on the turns of webhooks that keep others waiting for too long."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        instruments: ProcessorInstruments,
        *,
        may_check: Callable[[], bool],
        gap_s: float,
        max_parked: int,
        every_s: float = _CHECK_EVERY_S,
    ) -> None:
        self._pool = pool
        self._instruments = instruments
        self._may_check = may_check
        self._limits = (timedelta(seconds=gap_s), max_parked)
        self._every_s = every_s

    async def run(self) -> None:
        """Check every few seconds, until cancelled. Time in which it may not does not count."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._may_check():
                try:
                    await self._check()
                except DATABASE_UNAVAILABLE_ERRORS as exc:
                    log.warning(
                        LogEvent.ORDER_NOT_CHECKED, reason=type(exc).__name__, detail=detail_of(exc)
                    )

    async def _check(self) -> None:
        found = await self._pool.fetchrow(
            load(_PACKAGE, "check_turns.sql"), *self._limits, timeout=_CHECK_TIMEOUT_S
        )
        assert found is not None
        self._instruments.turns_checked(found["passed"], found["longest_stop_s"])


def _wait_of(context: AttemptContext) -> Wait:
    return Wait(WaitReason.ORDER, None, order_key=context.order_key)


def _job_id_of(context: AttemptContext) -> JobId:
    return context.envelope.job_id
