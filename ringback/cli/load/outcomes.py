"""Waits until the delivery log shows how each accepted webhook ended."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from ringback.runtime.postgres.queries import load

_POLL_S = 0.3
_AT_ONCE = 5000


@dataclass(slots=True)
class Outcomes:
    """How the webhooks of `job_ids` ended, as far as known."""

    accepted: int
    given_twice: int
    """Job ids that the gateway gave to more than one webhook."""
    by_status: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    """Webhooks that took more than one attempt."""
    completed_twice: int = 0

    @property
    def finished(self) -> int:
        return self.by_status.total()

    @property
    def all_well(self) -> bool:
        """Whether each webhook ended, and no webhook was completed twice.

        A dead letter counts as an end.
        """
        once = not (self.completed_twice or self.given_twice)
        return once and self.finished == self.accepted


async def wait_for_outcomes(
    connection: asyncpg.Connection,
    job_ids: Sequence[str],
    *,
    within_s: float,
    stop: asyncio.Event,
    on_progress: Callable[[Outcomes], None],
) -> Outcomes:
    """Query the log until every webhook has ended, `within_s` has passed or `stop` is set."""
    ids = sorted({UUID(job_id) for job_id in job_ids})
    outcomes = Outcomes(accepted=len(job_ids), given_twice=len(job_ids) - len(ids))
    open_ids = ids
    deadline = time.monotonic() + within_s
    while True:
        open_ids = await _ask(connection, open_ids, outcomes)
        on_progress(outcomes)
        if not open_ids or stop.is_set() or time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    for chunk in _chunks(ids):
        outcomes.completed_twice += await connection.fetchval(
            load("ringback.cli.load", "completed_twice.sql"), chunk, chunk[0], chunk[-1]
        )
    return outcomes


async def _ask(
    connection: asyncpg.Connection, open_ids: list[UUID], outcomes: Outcomes
) -> list[UUID]:
    """Count the webhooks that ended since, and return the others."""
    still_open: list[UUID] = []
    for chunk in _chunks(open_ids):
        query = load("ringback.cli.load", "settled_deliveries.sql")
        rows = await connection.fetch(query, chunk, chunk[0], chunk[-1])
        for row in rows:
            outcomes.by_status[row["status"]] += 1
            outcomes.retried += row["attempts"] > 1
        ended = {UUID(bytes=row["id"].bytes) for row in rows}
        still_open += [one for one in chunk if one not in ended]
    return still_open


def _chunks(ids: list[UUID]) -> list[list[UUID]]:
    """Parts of a sorted list; the first and last id of a part limit the days to read."""
    return [ids[place : place + _AT_ONCE] for place in range(0, len(ids), _AT_ONCE)]
