"""Follows the demo's webhooks in the delivery log until each has ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from ringback.cli.demo_plan import Act
from ringback.contract.identity import JobId, created_at
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import TRANSITIONS, Status
from ringback.local.console import printable
from ringback.runtime.postgres.queries import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The state of a webhook at `now`, by the database's clock."""

    job_id: UUID
    org_id: UUID
    status: Status
    attempts: int
    max_attempts: int
    last_attempt_at: datetime | None
    error: str | None
    now: datetime

    @property
    def is_settled(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def age_s(self) -> float:
        """Seconds from its arrival until now, or until its last attempt ended if it is settled."""
        ended = self.last_attempt_at if self.is_settled else None
        return ((ended or self.now) - created_at(JobId(self.job_id))).total_seconds()

    def next_attempt_in_s(self, schedule: RetrySchedule) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        if self.status is not Status.FAILED or self.last_attempt_at is None:
            return None
        retry_queue = schedule.retry_queue_after(Attempt(self.attempts))
        if retry_queue is None:
            return None
        waited_s = (self.now - self.last_attempt_at).total_seconds()
        return max(0.0, retry_queue.delay_ms / 1000 - waited_s)

    def keeps_promise_of(self, act: Act) -> bool:
        return self.status is act.ends_as and (
            self.status is Status.DUPLICATE or self.attempts == act.attempts
        )


async def look(
    connection: asyncpg.Connection, job_ids: Sequence[str], max_attempts: int
) -> dict[str, Sighting]:
    """The webhooks in the log so far, by job id. The gateway writes rows in batches."""
    if not job_ids:
        return {}
    ids = sorted(UUID(job_id) for job_id in job_ids)
    rows = await connection.fetch(load("ringback.cli", "demo_deliveries.sql"), ids, ids[0], ids[-1])
    return {str(row["id"]): _sighting(row, max_attempts) for row in rows}


def _sighting(row: asyncpg.Record, max_attempts: int) -> Sighting:
    error = f"{row['error_class']}: {row['error_message']}" if row["error_class"] else None
    return Sighting(
        job_id=UUID(bytes=row["id"].bytes),
        org_id=row["org_id"],
        status=Status(row["status"]),
        attempts=row["attempts"],
        # A row from the gateway has no limit until an attempt was made.
        max_attempts=row["max_attempts"] or max_attempts,
        last_attempt_at=row["last_attempt_at"],
        error=printable(error) if error else None,
        now=row["now"],
    )
