"""Handlers that follow the script of their event, and record each run outside its transaction."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from ringback.handlers import Event, PermanentFailure, handles
from ringback.outgoing import Unavailable
from tests.integration.processor.handler_steps import perform
from tests.support.eventually import eventually

_in_flight = 0


@handles("test.plain")
async def plain(event: Event) -> None:
    global _in_flight  # ruff: ignore[global-statement]  # counts what this process runs at once
    _in_flight += 1
    try:
        if event.message["script"].get("stubborn"):
            await _ignore_cancellation()
        run = await _noted(event, "plain")
        for step in event.message["script"].get("steps", ()):
            await perform(step, event, None)
        await _act(event, run)
    finally:
        _in_flight -= 1


@handles("test.transaction", transaction=True)
async def transactional(event: Event, connection: asyncpg.Connection) -> None:
    script = event.message["script"]
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    run = await _noted(event, "transaction", backend)
    if script.get("stubborn"):
        await _ignore_cancellation()
    await connection.execute("INSERT INTO effects VALUES ($1)", event.job_id)
    if "sql" in script:
        await connection.execute(script["sql"])
    for step in (*script.get("steps", ()), *(script.get("first_steps", ()) if run == 1 else ())):
        await perform(step, event, connection)
    if script.get("swallow"):
        try:
            await connection.execute("SELECT 1 / 0")
        except asyncpg.DivisionByZeroError:
            return
    if script.get("hold_connection"):
        await _hold(connection)
    await _act(event, run)


@handles("test.ordered", transaction=True, ordered_by="call_id")
async def ordered(event: Event, connection: asyncpg.Connection) -> None:
    run = await _noted(event, "ordered")
    await connection.execute("INSERT INTO effects VALUES ($1)", event.job_id)
    await _act(event, run)


async def _hold(connection: asyncpg.Connection) -> None:
    """Run a statement after its caller has stopped waiting, despite any cancellation."""
    statement = asyncio.ensure_future(connection.execute("SELECT pg_sleep(2)"))
    while not statement.done():
        try:
            await asyncio.shield(statement)
        except asyncio.CancelledError:
            continue


async def _noted(event: Event, kind: str, backend: int | None = None) -> int:
    """Record this run; return its number for this webhook, from 1."""
    connection = await asyncpg.connect(os.environ["RINGBACK_DATABASE_URL"])
    try:
        await connection.execute(
            "INSERT INTO runs (job_id, attempt, kind, in_flight, backend, seen_status, pid) "
            "SELECT $1, $2, $3, $4, $5, "
            "(SELECT status FROM webhook_delivery_log WHERE id = $1), $6",
            event.job_id,
            event.attempt,
            kind,
            _in_flight,
            backend,
            os.getpid(),
        )
        count = await connection.fetchval(
            "SELECT count(*) FROM runs WHERE job_id = $1", event.job_id
        )
        return int(count)
    finally:
        await connection.close()


async def _act(event: Event, run: int) -> None:
    script: Mapping[str, Any] = event.message["script"]
    _require(script.get("needs"))
    if run <= script.get("crash_times", 0):
        os._exit(9)
    if "block_s" in script and run == 1:
        time.sleep(script["block_s"])  # ruff: ignore[blocking-sleep-in-async-function]  # the mistake that must be detected
    if "gate" in script:
        gate = Path(script["gate"])
        gate.with_name(f"{gate.name}.{event.job_id}").touch()
        await eventually(gate.exists, deadline_s=60)
    await asyncio.sleep(script.get("sleep_s", 0))
    if event.attempt <= script.get("fail_times", 0):
        raise RuntimeError(f"attempt {event.attempt} failed")
    if "permanent" in script:
        raise PermanentFailure(script["permanent"])
    if script.get("unprintable"):
        raise UnprintableError


def _require(gate: str | None) -> None:
    if gate is not None and not Path(gate).exists():
        raise Unavailable("crm", 0.1)


async def _ignore_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            continue


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")
