"""What a bulk retry reads from the database and the broker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ringback.contract.identity import new_job_id
from ringback.contract.status import Status
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import unavailable
from services.metrics.changes.bulk_order import BulkOrder
from services.metrics.changes.bulk_pace import Conditions
from services.metrics.changes.bulk_tally import Outcome
from services.metrics.reads.delivery_stats import ALL_ORGS
from services.metrics.reads.scope import seen_by

_PACKAGE = "services.metrics"
_FIRST = UUID(int=0)
_STEP_S = 5.0
_PAGE = 100

Waiting = Callable[[], Awaitable[int | None]]


class BulkLook:
    """Dead letters are those the caller may see; the load is the same for every caller."""

    def __init__(self, access: Access, waiting: Waiting, order: BulkOrder, call: Call) -> None:
        self._access = access
        self._waiting = waiting
        self._order = order
        self._call = call
        #: This run ignores dead letters that appear from now on, including those of its own
        #: retries.
        self._until = new_job_id()
        self._after = _FIRST

    async def count(self) -> int:
        """How many match. Raises ApiError."""
        rows = await self._see("retry_matched.sql", *self._matching())
        return int(rows[0][0]) if rows else 0

    async def next_page(self) -> list[UUID]:
        """The next ones that match, oldest first; empty at the end. Raises ApiError."""
        rows = await self._see("retry_candidates.sql", *self._matching(), _PAGE, in_order=True)
        ids = [row["id"] for row in rows]
        if ids:
            self._after = ids[-1]
        return ids

    async def outcomes(self, ids: Sequence[UUID]) -> list[Outcome]:
        """The current states of these webhooks. Raises ApiError."""
        rows = await self._see("retry_outcomes.sql", ids) if ids else []
        return [Outcome(row["id"], Status(row["status"]), row["attempts"]) for row in rows]

    async def conditions(self) -> Conditions:
        """The current load. Raises ApiError UNAVAILABLE."""
        try:
            async with self._access.as_service(_STEP_S, self._call.span) as connection:
                [row] = await connection.fetch(load(_PACKAGE, "retry_conditions.sql"), ALL_ORGS)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise unavailable("DATABASE_UNAVAILABLE", "The database cannot be reached.") from exc
        return Conditions(await self._waiting(), row["live_per_second"], row["is_paused"])

    def _matching(self) -> tuple[UUID | str | datetime | None, ...]:
        return (self._after, self._until, *astuple(self._order.matching))

    async def _see(self, statement: str, *arguments: Any, in_order: bool = False) -> list[Any]:
        step = in_a_step(self._call)
        seen = seen_by(step, self._order.org_id)
        if seen is None:
            return []
        async with self._access.reading(seen) as connection:
            if in_order:
                await connection.execute(load(_PACKAGE, "in_order.sql"))
            rows: list[Any] = await connection.fetch(load(_PACKAGE, statement), *arguments)
            return rows


def in_a_step(call: Call) -> Call:
    """The same call with the deadline of one step: a run takes hours, a statement must not."""
    soon = asyncio.get_running_loop().time() + _STEP_S
    return replace(call, deadline=min(call.deadline, soon))
