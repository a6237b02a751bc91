"""Finds the webhooks that a retry run retries, and counts them before."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any
from uuid import UUID

from ringback.contract.redaction.scrub import REDACTED
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, Connection, restrict_to_org
from ringback.services.metrics.commands.retry_run_rules import RetryPlan, RunKind
from ringback.services.metrics.queries.delivery_search import FIRST_ID, first_id_at, org_range
from ringback.services.metrics.transport.call import Call

_PACKAGE = "ringback.services.metrics.commands"
_STEP_S = 5.0
_PAGE = 100


def one_step(call: Call) -> Call:
    """The same call with the deadline of one step: a run may take hours, a statement may not."""
    soon = asyncio.get_running_loop().time() + _STEP_S
    return replace(call, deadline=min(call.deadline, soon))


@dataclass(frozen=True, slots=True)
class Counted:
    """How many match, by event type and error class. If not `is_complete`, more may match."""

    groups: Counter[tuple[str, str | None]]
    altered: int
    is_complete: bool

    @property
    def matched(self) -> int:
        return self.groups.total()


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids after `after` and up to `until`."""

    after: UUID
    until: UUID

    @classmethod
    def of(cls, plan: RetryPlan, now: UUID) -> "IdRange":
        """All that the plan's times allow. Webhooks that appear after `now` never match.

        So a run does not retry its own failures, or replay its own replays.
        """
        after, until = FIRST_ID, now
        if plan.matching.start is not None:
            after = UUID(int=first_id_at(plan.matching.start).int - 1)
        if plan.matching.before is not None:
            until = min(until, first_id_at(plan.matching.before, later_ms=1))
        return cls(after, until)


class Matches:
    """The webhooks that match a plan and that the caller may see, oldest first.

    Dead letters have an index of their own. Completed webhooks are searched in chunks: each
    statement reads at most `chunk` webhooks, and counting ends after `count_s`.
    """

    def __init__(
        self,
        access: Access,
        plan: RetryPlan,
        call: Call,
        within: IdRange,
        *,
        chunk: int = 20_000,
        count_s: float = 3.0,
    ) -> None:
        self._access = access
        self._plan = plan
        self._call = call
        self._chunk = chunk
        self._count_s = count_s
        self._until = within.until
        self.after = within.after
        """All up to this id have been returned."""

    @property
    def is_at_end(self) -> bool:
        return self.after >= self._until

    async def count(self) -> Counted:
        """Count from `after` on. Raises ApiError."""
        clock = asyncio.get_running_loop().time
        count_until = clock() + self._count_s
        groups: Counter[tuple[str, str | None]] = Counter()
        altered, after = 0, self.after
        while after < self._until and (after == self.after or clock() < count_until):
            rows, after = await self._read("retry_groups.sql", "replay_groups.sql", after)
            for row in rows:
                groups[row["event_type"], row["error_class"]] += row["count"]
                altered += row["altered"]
        return Counted(groups, altered, is_complete=after >= self._until)

    async def next_page(self) -> list[UUID]:
        """The next ones. It may be empty before the end. Raises ApiError."""
        rows, end = await self._read(
            "retry_candidates.sql", "replay_candidates.sql", self.after, _PAGE
        )
        ids: list[UUID] = [row["id"] for row in rows]
        self.after = ids[-1] if len(ids) == _PAGE else end
        return ids

    async def examine(self, ids: Sequence[UUID]) -> list[Any]:
        """These webhooks, with `is_redacted`. Raises ApiError."""
        scoped = restrict_to_org(self._call, self._plan.org_id)
        if not ids or scoped is None:
            return []
        async with self._access.reading(scoped) as connection:
            return await connection.fetch(load(_PACKAGE, "retry_examined.sql"), ids, REDACTED)

    async def _read(
        self, of_dead_letters: str, of_completed: str, after: UUID, *more: int
    ) -> tuple[list[Any], UUID]:
        """Rows of the next chunk, and the id where it ends."""
        scoped = restrict_to_org(one_step(self._call), self._plan.org_id)
        if scoped is None:
            return [], self._until
        async with self._access.reading(scoped) as connection:
            matching = astuple(self._plan.matching)
            if self._plan.kind is RunKind.DEAD_LETTERS:
                # A count reads only the index that contains what it counts.
                await _prepare(connection, "in_order.sql" if more else "plan_for_values.sql")
                statement = load(_PACKAGE, of_dead_letters)
                rows = await connection.fetch(statement, after, self._until, *matching, *more)
                return rows, self._until
            await _prepare(connection, "in_order.sql")
            orgs = org_range(scoped.principal.org_id)
            last = await connection.fetchrow(
                load(_PACKAGE, "replay_chunk.sql"), after, self._until, self._chunk, *orgs
            )
            end: UUID = last["id"] if last else self._until
            rows = await connection.fetch(
                load(_PACKAGE, of_completed),
                *(after, end, *matching, self._plan.include_replays, *orgs, *more),
            )
            return rows, end


async def _prepare(connection: Connection, settings: str) -> None:
    """Set how the rest of this transaction is planned."""
    await connection.execute(load("ringback.services.metrics.queries", settings))
