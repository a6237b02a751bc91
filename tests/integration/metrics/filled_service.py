"""The metrics service as a process, with webhooks of two organisations in its log."""

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from ringback.contract.identity import new_job_id
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
#: What JSON can represent and binary floats cannot, and what needs escaping.
EVENT = '{"message": {"type": "call.ended", "n": 12345678901234567890.10, "text": "\\u00fc\\"\\n"}}'

_INSERT = """
    INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,
        attempts, max_attempts, created_at, last_attempt_at, completed_at, error_class,
        error_message, call_id, gateway_instance_id, altered, duplicate_of)
    VALUES ($1, $2, 'default', $3, $4, $5, $6, 4, $7, $8, $9, $10, $11, 'call-1',
        gen_random_uuid(), $12, $13)
"""
_INSERT_ATTEMPT = """
    INSERT INTO webhook_delivery_attempts (delivery_id, attempt, org_id, outcome, started_at,
        ended_at, error_class, error_message, trace_id, span_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


@dataclass(frozen=True, slots=True)
class FilledService:
    """Two webhooks of our org for each change that runs once; one dead letter of another org."""

    process: MetricsProcess
    database_url: str
    completed: UUID
    dead: tuple[UUID, ...]
    duplicates: tuple[UUID, UUID]
    theirs: UUID


async def add(
    connection: asyncpg.Connection,
    status: str,
    *,
    org_id: UUID = OURS,
    event_type: str = "call.ended",
    duplicate_of: UUID | None = None,
) -> UUID:
    """A webhook in that state, with the attempts that it then has."""
    job_id, now = new_job_id(), datetime.now(UTC)
    attempts = {"completed": 2, "failed": 1, "dead_letter": 4}.get(status, 0)
    has_error = status in {"failed", "dead_letter"}
    await connection.execute(
        _INSERT, job_id, org_id, event_type, EVENT, status, attempts, now,
        now if attempts else None, now if status == "completed" else None,
        "ConnectionError" if has_error else None, "The CRM is away." if has_error else None,
        status == "dead_letter", duplicate_of,
    )  # fmt: skip
    for attempt in range(1, attempts + 1):
        ok = status == "completed" and attempt == attempts
        await connection.execute(
            _INSERT_ATTEMPT, job_id, attempt, org_id, "completed" if ok else "failed",
            now + timedelta(seconds=attempt), now + timedelta(seconds=attempt, microseconds=1234),
            None if ok else "ConnectionError", None if ok else "The CRM is away.",
            uuid.uuid4().hex, uuid.uuid4().hex[:16],
        )  # fmt: skip
    return job_id


async def fill(process: MetricsProcess, database_url: str) -> FilledService:
    connection = await asyncpg.connect(database_url)
    try:
        completed = await add(connection, "completed")
        for status in ("pending", "processing", "failed"):
            await add(connection, status)
        first, second = [
            await add(connection, "duplicate", duplicate_of=completed) for _ in range(2)
        ]
        await add(connection, "failed", event_type="hang")
        dead = [await add(connection, "dead_letter") for _ in range(6)]
        theirs = await add(connection, "dead_letter", org_id=THEIRS)
    finally:
        await connection.close()
    return FilledService(process, database_url, completed, tuple(dead), (first, second), theirs)


@asynccontextmanager
async def filled_service(
    nodes: SessionNodes, tmp_path: Path
) -> AsyncGenerator[FilledService, None]:
    """The service is ready, and has read its data."""
    async with (
        nodes.place("2s,4s,8s") as (amqp_url, database_url),
        metrics_process(tmp_path, amqp_url=amqp_url, database_url=database_url) as process,
    ):
        await eventually(process.is_ready)
        filled = await fill(process, database_url)

        async def has_read() -> bool:
            samples = await process.samples()
            return samples.get("webhook_dead_letter_queue_size") == len(filled.dead) + 1

        await eventually(has_read)
        yield filled


def plain(text: str) -> object:
    """A JSON document with its numbers as written."""
    return json.loads(text, parse_float=str, parse_int=str)
