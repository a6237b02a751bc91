"""Procrastinate as its documentation recommends it: jobs are rows in PostgreSQL."""

import os
from typing import Any
from uuid import uuid4

import psycopg_pool
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from psycopg.types.json import Jsonb

_FAILING = "fa11"  # The benchmark's calls that fail twice.
_ORG = "00000000-0000-0000-0000-000000000001"
_INSERT = """
    INSERT INTO log (id, org_id, job_id, event_type, event_data, status, attempts, last_attempt_at)
    VALUES (%(id)s, %(org)s, %(job_id)s, %(event_type)s, %(body)s, 'processing', 1, now())
    ON CONFLICT (job_id) DO UPDATE SET attempts = log.attempts + 1, last_attempt_at = now()
"""
_UPDATE = "UPDATE log SET status = 'completed', completed_at = now() WHERE job_id = %s"
_ATTEMPT = "INSERT INTO attempts (call_id) VALUES (%s)"

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=20))
log: list[psycopg_pool.AsyncConnectionPool] = []


@app.task(
    name="process",
    pass_context=True,
    retry=RetryStrategy(max_attempts=3, exponential_wait=2),
)
async def process(context: JobContext, *, body: dict[str, Any]) -> None:
    """Write the log before and after the handler."""
    [pool] = log
    message, job_id = body["message"], str(context.job.id)
    row = {"id": uuid4(), "org": _ORG, "job_id": job_id, "event_type": message["type"]}
    async with pool.connection() as connection:
        await connection.execute(_INSERT, row | {"body": Jsonb(body)})
    call_id = message["call"]["id"]
    if call_id.startswith(_FAILING):
        async with pool.connection() as connection:
            await connection.execute(_ATTEMPT, (call_id,))
        if context.job.attempts < 2:
            raise RuntimeError("It fails twice.")
    async with pool.connection() as connection:
        await connection.execute(_UPDATE, (job_id,))
