"""Handlers for the end of a call: each writes a row for every run."""

import os

import asyncpg

from ringback.handlers import Event, handles

_NOTE = "INSERT INTO runs (job_id, attempt, kind) VALUES ($1, $2, $3)"


@handles("end-of-call-report")
async def plain(event: Event) -> None:
    connection = await asyncpg.connect(os.environ["RINGBACK_DATABASE_URL"])
    await connection.execute(_NOTE, event.job_id, event.attempt, "plain")
    await connection.close()


@handles("status-update", transaction=True)
async def transactional(event: Event, connection: asyncpg.Connection) -> None:
    await connection.execute(_NOTE, event.job_id, event.attempt, "transaction")
