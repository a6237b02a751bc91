"""Runs tasks in the background, and ends them even if a cancellation gets lost."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog

from ringback.contract.telemetry import LogEvent

Work = Callable[[], Coroutine[Any, Any, None]]

_CANCEL_AGAIN_S = 5.0
"""Longer than any task needs to clean up."""
_FIRST_RESTART_S = 1.0
_MAX_RESTART_S = 60.0


async def end(*tasks: asyncio.Task[None], cancel_again_s: float = _CANCEL_AGAIN_S) -> None:
    """Cancel tasks and return when all have ended. Raises the first error that one ended with.

    Tasks that continue are cancelled again, because a cancellation can get lost. `asyncio.wait_for`
    of Python 3.11 returns normally if its task is done at that moment, and a library may raise its
    own error instead of CancelledError.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=cancel_again_s)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def keep_running(work: Work, *, first_restart_s: float = _FIRST_RESTART_S) -> None:
    """Run `work`; after an error that it does not expect, log it and run it again.

    The pause before that doubles, up to a minute, until the work has run for a minute.
    Otherwise a bug in one part would end that part for good, while its process looks healthy.
    """
    clock = asyncio.get_running_loop().time
    restart_s = first_restart_s
    while True:
        started_at = clock()
        try:
            return await work()
        except Exception:  # ruff: ignore[blind-except]  # any bug
            if clock() - started_at > _MAX_RESTART_S:
                restart_s = first_restart_s
            structlog.get_logger().exception(
                LogEvent.BACKGROUND_TASK_FAILED,
                task=getattr(work, "__qualname__", repr(work)),
                restart_after_s=restart_s,
            )
        await asyncio.sleep(restart_s)
        restart_s = min(restart_s * 2, _MAX_RESTART_S)


@asynccontextmanager
async def run_in_background(work: Work) -> AsyncGenerator[asyncio.Task[None], None]:
    """Run `work` as a task while entered, again after an unexpected error, then end it."""
    task = asyncio.create_task(keep_running(work))
    try:
        yield task
    finally:
        await end(task)


@asynccontextmanager
async def run_and_flush(
    work: Work, *, stop: Callable[[], None], timeout_s: float
) -> AsyncGenerator[None, None]:
    """Run `work` while entered. Then call `stop`, give it `timeout_s` to finish, and end it."""
    async with run_in_background(work) as task:
        try:
            yield
        finally:
            stop()
            await asyncio.wait([task], timeout=timeout_s)


class BackgroundTask:
    """Runs `_run` as a task while entered, again after an unexpected error, then ends it."""

    _task: asyncio.Task[None]

    async def _run(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(keep_running(self._run))
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._task)
