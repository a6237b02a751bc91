"""The handlers of a chaos run. Name them in RINGBACK_HANDLERS: `chaos.handlers`.

`python -m chaos install` creates the table that they write to.
"""

import asyncio
import os
import signal
import sys
import time

import asyncpg

from chaos.load.webhook import Kind
from chaos.shop import PORT_VARIABLE
from ringback.handlers import Event, handles
from ringback.outgoing import destination
from ringback.runtime.postgres.queries import load

*_MISUSES, _BUSY = load("chaos", "misuses.sql").split("\n\n")
_CLOSES, _LEAVES_TASK, _EXITS = range(len(_MISUSES), len(_MISUSES) + 3)
MISUSES = _EXITS + 1
"""How many ways there are to misuse a connection, or the process."""

_left: list["asyncio.Task[str]"] = []

shop = destination(
    "shop",
    base_url=f"http://127.0.0.1:{os.environ.get(PORT_VARIABLE, '1')}/",
    allow_networks="127.0.0.0/8",
    timeout_s=1.0,
    concurrency=100,
)


class PlannedFailure(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # the log shows this name
    """The failure that the payload asked for."""


@handles(Kind.WAITING, transaction=True, retry_schedule="700ms")
async def leave_effect_later(event: Event, connection: asyncpg.Connection) -> None:
    await leave_effect(event, connection)


@handles(Kind.WRITTEN, transaction=True)
async def leave_effect(event: Event, connection: asyncpg.Connection) -> None:
    """Write the effect, then follow the plan in the payload: a failure rolls the effect back."""
    plan = event.message["chaos"]
    if event.attempt < plan.get("misusesUntilAttempt", 1):
        await _misuse(int(plan["misuse"]), connection)
        return
    statement = load("chaos", "leave_effect.sql")
    await connection.execute(statement, event.call_id, event.job_id, event.attempt)
    await _follow_plan(event)


async def _misuse(number: int, connection: asyncpg.Connection) -> None:
    if number < len(_MISUSES):
        await connection.execute(_MISUSES[number])
    elif number == _CLOSES:
        await connection.close()
    elif number == _LEAVES_TASK:
        _left.append(asyncio.create_task(connection.execute(_BUSY)))
    else:
        sys.exit(_EXITS)


@handles(Kind.ORDERED, transaction=True, ordered_by="call_id")
async def leave_ordered_effect(event: Event, connection: asyncpg.Connection) -> None:
    """Write the effect, whose place among those of its call is checked."""
    await leave_effect(event, connection)


@handles(Kind.PLAIN)
async def act_outside(event: Event) -> None:
    """Act like a handler with effects outside the database."""
    if event.message["chaos"].get("calls"):
        async with shop.session() as session, session.get("") as answer:
            answer.raise_for_status()
    await _follow_plan(event)


async def _follow_plan(event: Event) -> None:
    plan = event.message["chaos"]
    if plan.get("killsProcess"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "blocksUntil" in plan:
        # ruff: ignore[blocking-sleep-in-async-function]  # the mistake under test
        time.sleep(max(0.0, plan["blocksUntil"] - time.time()))
    if event.attempt < plan.get("hangsUntilAttempt", 1):
        await asyncio.Event().wait()
    if "takesSeconds" in plan:
        await asyncio.sleep(plan["takesSeconds"])
    if event.attempt < plan.get("failUntilAttempt", 1):
        raise PlannedFailure(f"The payload asked attempt {event.attempt} to fail.")
