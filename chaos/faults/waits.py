"""A sweeper of waits that dies when the broker has its messages and the database has its rows."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from chaos import extra_webhooks
from chaos.fault import Fault, Part
from chaos.load.webhook import Kind, special
from chaos.stage import Stage
from ringback.runtime.postgres.queries import load

_COUNT = 20
_PUBLISHED_WITHIN_S = 30.0
_ENDS_WITHIN_S = 90.0
_POLL_S = 0.05


@asynccontextmanager
async def _killed_before_delete(stage: Stage) -> AsyncGenerator[None, None]:
    """The rows are published again while the first messages run; each webhook finishes once."""
    event = f"waits-{time.time_ns()}"
    events = [f"{event}-{number}" for number in range(_COUNT)]
    plan = {"failUntilAttempt": 2, "takesSeconds": 1}
    async with stage.connection() as connection:
        await connection.execute(load("chaos", "delay_wait_deletes.sql"))
        try:
            bodies = [special(one, Kind.WAITING, **plan) for one in events]
            job_ids = await extra_webhooks.send(stage, bodies)
            await stage.until(
                lambda: connection.fetchval(load("chaos", "is_deleting_waits.sql")),
                within_s=_PUBLISHED_WITHIN_S,
                otherwise="No sweeper published what waits.",
                every_s=_POLL_S,
            )
            await stage.processor.kill()
        finally:
            await connection.execute(load("chaos", "allow_wait_deletes.sql"))
    await _check(stage, job_ids, events)
    yield


async def _check(stage: Stage, job_ids: Sequence[str], events: Sequence[str]) -> None:
    """Each is completed, with one effect, and none waits any more."""
    await extra_webhooks.all_complete(stage, job_ids, within_s=_ENDS_WITHIN_S)
    async with stage.connection() as connection:
        rows = await connection.fetch(load("chaos", "effects.sql"), list(events))
        counts = [row["effects"] for row in rows]
        if counts != [1] * _COUNT:
            stage.complaints.append(f"The fault's own webhooks had {counts} effects.")
        await stage.until(
            lambda: connection.fetchval(load("chaos", "none_waits.sql"), list(job_ids)),
            within_s=_ENDS_WITHIN_S,
            otherwise="Webhooks that have ended still wait.",
        )


FAULTS = (
    Fault(
        name="sweeper-killed-between-publish-and-delete",
        sentence="SIGKILL of the processor when it has published what waited, and not deleted it.",
        part=Part.PROCESSOR,
        strike=_killed_before_delete,
        is_mixed=False,
    ),
)
