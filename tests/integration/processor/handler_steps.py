"""Things that a handler may do to its connection, by name."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg

from ringback.handlers import Event, PermanentFailure

_EFFECT = "INSERT INTO effects VALUES ($1)"
_left: set[asyncio.Task[object]] = set()


class OwnBaseError(BaseException):
    """Not a subclass of Exception."""


async def perform(step: str, event: Event, connection: Any) -> None:
    """Execute a statement, or the step of this name. A leading `?` hides its error."""
    if step.startswith("?"):
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await perform(step[1:], event, connection)
    elif step in _STEPS:
        await _STEPS[step](event, connection)
    elif step.startswith("raise "):
        _raise(step.removeprefix("raise "))
    else:
        await connection.execute(step)


def _raise(name: str) -> None:
    if name == "exit":
        sys.exit(3)
    errors = {
        "RuntimeError": RuntimeError("as scripted"),
        "PermanentFailure": PermanentFailure("as scripted"),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "OwnBaseError": OwnBaseError("its own"),
        "CancelledError": asyncio.CancelledError(),
        "GeneratorExit": GeneratorExit(),
    }
    raise errors[name]


async def _effect(event: Event, connection: Any) -> None:
    await connection.execute(_EFFECT, event.job_id)


async def _close(_: Event, connection: Any) -> None:
    await connection.close()


async def _terminate(_: Event, connection: Any) -> None:
    await asyncio.sleep(0)
    connection.terminate()


async def _leave_task(_: Event, connection: Any) -> None:
    await asyncio.sleep(0)
    _leave(connection.execute("SELECT pg_sleep(0.3)"))


async def _leave_late_task(_: Event, connection: Any) -> None:
    async def late() -> None:
        await asyncio.sleep(0.05)
        for _ in range(20):
            with suppress(asyncpg.InterfaceError):
                await connection.execute("ROLLBACK")
            await asyncio.sleep(0)

    await asyncio.sleep(0)
    _leave(late())


def _leave(coroutine: Awaitable[object]) -> None:
    async def quietly() -> None:
        with suppress(asyncpg.InterfaceError, asyncpg.PostgresError):
            await coroutine

    task: asyncio.Task[object] = asyncio.create_task(quietly())
    _left.add(task)
    task.add_done_callback(_left.discard)


async def _cursor(_: Event, connection: Any) -> None:
    """Leave the connection in the middle of a read, with a task that continues to use it."""
    cursor = await connection.cursor("SELECT pg_sleep(0.05) FROM generate_series(1, 100)")
    await cursor.fetch(1)
    _leave(cursor.fetch(50))


async def _listen(_: Event, connection: Any) -> None:
    await connection.add_listener("shop", print)


async def _codec(_: Event, connection: Any) -> None:
    await connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")


async def _reset(_: Event, connection: Any) -> None:
    await connection.reset()


async def _end_session(_: Event, connection: Any) -> None:
    with suppress(asyncpg.PostgresError):
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def _exit_in_group(_: Event, __: Any) -> None:
    async def exits() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    async with asyncio.TaskGroup() as group:
        group.create_task(exits())
        group.create_task(asyncio.sleep(30))


async def _cancel_itself(_: Event, __: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancel_all(_: Event, __: Any) -> None:
    found = [
        task
        for task in asyncio.all_tasks()
        if task.get_coro().__qualname__ == "QueueConsumer._handle"  # type: ignore[union-attr]
    ]
    assert found
    for task in found:
        task.cancel()
    await asyncio.sleep(0)


async def _other_database(_: Event, __: Any) -> None:
    """A handler's own pool, to a server that does not exist."""
    await asyncpg.connect("postgresql://127.0.0.1:1/nowhere", timeout=2)


_STEPS: dict[str, Callable[[Event, Any], Awaitable[None]]] = {
    "effect": _effect,
    "close": _close,
    "terminate": _terminate,
    "leave a task": _leave_task,
    "leave a late task": _leave_late_task,
    "leave a cursor": _cursor,
    "listen": _listen,
    "codec": _codec,
    "reset": _reset,
    "end the session": _end_session,
    "exit in a group": _exit_in_group,
    "cancel itself": _cancel_itself,
    "cancel all": _cancel_all,
    "other database": _other_database,
}
