"""Waits until each accepted webhook has ended in the delivery log."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from ringback.runtime.postgres.queries import load

_POLL_S = 0.3
_CHUNK_SIZE = 5000


@dataclass(slots=True)
class Outcomes:
    """How the accepted webhooks have ended so far."""

    accepted: int
    repeated_job_ids: int
    """Job ids that the gateway returned for more than one webhook."""
    by_status: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    """Webhooks that took more than one attempt."""
    completed_twice: int = 0

    @property
    def finished(self) -> int:
        return self.by_status.total()

    @property
    def is_complete(self) -> bool:
        """Whether each webhook ended, also as a dead letter, and none was completed twice."""
        once = not (self.completed_twice or self.repeated_job_ids)
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
    outcomes = Outcomes(accepted=len(job_ids), repeated_job_ids=len(job_ids) - len(ids))
    open_ids = ids
    deadline = time.monotonic() + within_s
    while True:
        open_ids = await _read_ended(connection, open_ids, outcomes)
        on_progress(outcomes)
        if not open_ids or stop.is_set() or time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    for chunk in _chunks(ids):
        outcomes.completed_twice += await connection.fetchval(
            load("ringback.cli.load", "completed_twice.sql"), chunk, chunk[0], chunk[-1]
        )
    return outcomes


async def _read_ended(
    connection: asyncpg.Connection, open_ids: list[UUID], outcomes: Outcomes
) -> list[UUID]:
    """Count the webhooks that have ended, and return the ids of the others."""
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
    """Split a sorted list; the first and last id of a chunk limit the partitions to read."""
    return [ids[place : place + _CHUNK_SIZE] for place in range(0, len(ids), _CHUNK_SIZE)]
