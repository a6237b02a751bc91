"""The gateway's pending row exists, is missing, or is being written: the end is the same."""

from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from ringback.contract.identity import new_job_id
from tests.integration.processor.stage import ORG, Stage, scripted
from tests.support.eventually import eventually

_INSERT = """
    INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,
        max_attempts, created_at, gateway_instance_id)
    VALUES ($1, $2, 'from-gateway', $3, $4, 'pending', 4, now(), gen_random_uuid())
    ON CONFLICT DO NOTHING
"""

CASES = [("plain", "completed"), ("transaction", "completed"), ("data", "completed")]


@pytest.mark.parametrize(("kind", "end"), CASES)
async def test_the_row_of_the_gateway_is_carried_on(shared: Stage, kind: str, end: str) -> None:
    """The gateway's values stay; only the status changes."""
    event, job_id = scripted(kind), new_job_id()
    await _write(shared.database, job_id, event)
    pending = await shared.row(job_id)
    assert pending is not None

    await shared.send(event, job_id=job_id)

    row = await shared.until(job_id, end)
    assert row["endpoint_id"] == "from-gateway"
    assert (row["created_at"], row["gateway_instance_id"]) == (
        pending["created_at"],
        pending["gateway_instance_id"],
    )
    assert (row["attempts"], row["max_attempts"]) == (1, 3)


@pytest.mark.parametrize(("kind", "end"), [*CASES, ("unrouted", "dead_letter")])
async def test_a_row_that_is_not_yet_committed_is_waited_for(
    shared: Stage, kind: str, end: str
) -> None:
    """An update alone would find no row and change nothing; the webhook would stay pending."""
    event, job_id = scripted(kind), new_job_id()
    gateway = await asyncpg.connect(shared.place.database_url)
    writing = gateway.transaction()
    await writing.start()
    await _write(gateway, job_id, event)

    await shared.send(event, job_id=job_id, key="elsewhere" if kind == "unrouted" else "attempt.1")
    await eventually(lambda: _somebody_waits(shared))
    await writing.commit()

    row = await shared.until(job_id, end)
    assert row["endpoint_id"] == "from-gateway"
    await gateway.close()


async def test_a_row_that_comes_last_changes_nothing(shared: Stage) -> None:
    """The gateway inserts only if there is no row; a completed webhook stays completed."""
    event = scripted("plain")
    job_id = await shared.send(event)
    before = await shared.until(job_id, "completed")

    await _write(shared.database, job_id, event)

    assert await shared.row(job_id) == before


async def _write(connection: asyncpg.Connection, job_id: UUID, event: dict[str, Any]) -> None:
    body = orjson.dumps(event).decode()
    await connection.execute(_INSERT, job_id, ORG, event["message"]["type"], body)


async def _somebody_waits(stage: Stage) -> bool:
    waiting = await stage.database.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(waiting) > 0
