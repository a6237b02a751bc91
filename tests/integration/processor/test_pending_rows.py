"""The gateway writes a row before, while or after the processor does: the result is the same."""

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


async def _write(connection: asyncpg.Connection, job_id: UUID, event: dict[str, Any]) -> None:
    body = orjson.dumps(event).decode()
    await connection.execute(_INSERT, job_id, ORG, event["message"]["type"], body)


@pytest.mark.parametrize("kind", ["plain", "transaction", "data"])
async def test_the_values_of_the_gateway_stay(shared: Stage, kind: str) -> None:
    """Only the status changes. A gateway that inserts last changes nothing."""
    event, job_id = scripted(kind), new_job_id()
    await _write(shared.database, job_id, event)
    pending = await shared.row(job_id)
    assert pending is not None

    await shared.send(event, job_id=job_id)

    row = await shared.until(job_id, "completed")
    for name in ("endpoint_id", "created_at", "gateway_instance_id"):
        assert row[name] == pending[name]
    assert (row["attempts"], row["max_attempts"]) == (1, 3)
    await _write(shared.database, job_id, event)
    assert await shared.row(job_id) == row


@pytest.mark.parametrize("kind", ["plain", "transaction", "data", "unrouted"])
async def test_a_row_that_is_not_yet_committed_is_waited_for(shared: Stage, kind: str) -> None:
    """An update alone would find no row and change nothing; the webhook would stay pending."""
    event, job_id = scripted(kind), new_job_id()
    gateway = await asyncpg.connect(shared.place.database_url)
    async with gateway.transaction():
        await _write(gateway, job_id, event)
        await shared.send(
            event, job_id=job_id, key="elsewhere" if kind == "unrouted" else "attempt.1"
        )

        async def waits() -> bool:
            return bool(
                await shared.database.fetchval(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )

        await eventually(waits)

    row = await shared.until(job_id, "dead_letter" if kind == "unrouted" else "completed")
    assert row["endpoint_id"] == "from-gateway"
    await gateway.close()
