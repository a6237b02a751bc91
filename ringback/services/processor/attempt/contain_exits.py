"""Keeps a handler's task from ending the process with SystemExit or KeyboardInterrupt."""

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)
"""True in a handler, and in the tasks that it starts."""


class HandlerExitError(Exception):
    """A task of a handler asked the process to end."""


@contextmanager
def _as_error() -> Generator[None, None, None]:
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as exc:
        raise HandlerExitError(f"A task of the handler raised {type(exc).__name__}.") from exc


class _Contained(Coroutine[Any, Any, Any]):
    """Wrap a coroutine so that a request to end the process raises HandlerExitError.

    asyncio lets those two errors leave the event loop, even if another task awaits this one.
    """

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        with _as_error():
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        with _as_error():
            return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()


def contain_exits(loop: asyncio.AbstractEventLoop) -> None:
    """Make the loop contain the tasks that handlers start from now on. Call it once."""
    if loop.get_task_factory() is not _new_task:
        loop.set_task_factory(_new_task)


def _new_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> "asyncio.Task[Any]":
    contained = _Contained(coroutine) if in_handler.get() else coroutine
    return asyncio.Task(contained, loop=loop, **options)
