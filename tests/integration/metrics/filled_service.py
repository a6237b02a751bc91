"""The metrics service as a process, with webhooks of two organisations in its log."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.metrics.waiting_rows import add_wait
from tests.integration.migrations.log_calls import End, Webhook, accept, begin, bury, finish
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
#: What JSON can represent and binary floats cannot, and what needs escaping.
EVENT = '{"message": {"type": "call.ended", "n": 12345678901234567890.10, "text": "\\u00fc\\"\\n"}}'

ERROR = ("ConnectionError", "The CRM is away.")


@dataclass(frozen=True, slots=True)
class FilledService:
    """Two webhooks of our org for each change that runs once; one dead letter of another org.

    `waiting` waits for a retry, another one for the destination `crm`.
    """

    process: MetricsProcess
    database_url: str
    completed: UUID
    dead: tuple[UUID, ...]
    duplicates: tuple[UUID, UUID]
    theirs: UUID
    waiting: UUID
    cancelled: tuple[UUID, UUID]


def webhooks(count: int, org_id: UUID = OURS, **changes: Any) -> list[Webhook]:
    values = {"event_type": "call.ended", "event_data": EVENT, "call_id": "call-1"} | changes
    return [Webhook(org_id=org_id, **values) for _ in range(count)]


async def fill(process: MetricsProcess, database_url: str) -> FilledService:
    connection = await asyncpg.connect(database_url)
    completed, *duplicates = webhooks(3, dedup_key="k")
    pending, processing, failed = webhooks(3)
    [hang] = webhooks(1, event_type="hang")
    dead = webhooks(6, altered=True) + webhooks(1, THEIRS, altered=True)
    try:
        await accept(connection, pending)
        await begin(connection, processing)
        first_failed = [End(one, "failed", 1, ERROR) for one in (completed, failed, hang)]
        await finish(connection, *first_failed)
        await finish(connection, End(completed, attempt=2))
        await finish(connection, *map(End, duplicates))
        for attempt in range(1, 5):
            await finish(connection, *(End(one, "failed", attempt, ERROR) for one in dead))
        await bury(connection, *dead, error=ERROR)
        await add_wait(connection, OURS, reason="destination", destination="crm")
        waiting = await add_wait(connection, OURS, job_id=failed.id)
        cancelled = await add_wait(connection, OURS), await add_wait(connection, OURS)
    finally:
        await connection.close()
    ids = [one.id for one in dead]
    copies = duplicates[0].id, duplicates[1].id
    return FilledService(
        process, database_url, completed.id, tuple(ids[:-1]), copies, ids[-1], waiting, cancelled
    )


@asynccontextmanager
async def filled_service(
    nodes: SessionNodes, tmp_path: Path, **settings: str
) -> AsyncGenerator[FilledService, None]:
    """The service is ready, and has read its data."""
    async with (
        nodes.place("2s,4s,8s") as (amqp_url, database_url),
        metrics_process(
            tmp_path, amqp_url=amqp_url, database_url=database_url, **settings
        ) as process,
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
