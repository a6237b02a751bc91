"""Webhooks that wait in the database, as a processor writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from ringback.contract.identity import JobId, new_job_id
from tests.integration.processor.stage import HANG, envelope_of

_INSERT = """
    INSERT INTO webhook_waits (
        delivery_id, attempt, org_id, event_type, reason, destination, order_key, due_at,
        leased_until, headers, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7,
            coalesce(now() + $8 * interval '1 second', 'infinity'),
            now() + $9 * interval '1 second', $10, $11)
"""


async def add_wait(
    connection: asyncpg.Connection,
    org_id: UUID,
    *,
    job_id: UUID | None = None,
    event: dict[str, Any] | None = None,
    attempt: int = 2,
    reason: str = "retry",
    due_in_s: float | None = 3600,
    destination: str | None = None,
    order_key: str | None = None,
    leased_for_s: float | None = None,
) -> UUID:
    """A wait without a row in the log; without `due_in_s`, something else releases it."""
    body = orjson.dumps(HANG if event is None else event)
    envelope = envelope_of(body, job_id=JobId(job_id or new_job_id()), org_id=org_id)
    await connection.execute(
        _INSERT,
        envelope.job_id,
        attempt,
        org_id,
        envelope.event_type,
        reason,
        destination,
        order_key,
        due_in_s,
        leased_for_s,
        orjson.dumps(envelope.headers()).decode(),
        body,
    )
    return envelope.job_id


async def wait_row(connection: asyncpg.Connection, job_id: UUID) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "SELECT reason, destination, cancellation, leased_until, due_at, due_at <= now() AS is_due"
        " FROM webhook_waits WHERE delivery_id = $1",
        job_id,
    )


async def due_at(connection: asyncpg.Connection, job_id: UUID) -> datetime:
    found: datetime = await connection.fetchval(
        "SELECT due_at FROM webhook_waits WHERE delivery_id = $1", job_id
    )
    return found
