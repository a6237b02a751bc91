"""Runs tasks in the background, and ends them even if a cancellation gets lost."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

_CANCEL_AGAIN_S = 5.0
"""Longer than any task needs to clean up."""


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


@asynccontextmanager
async def run_in_background(
    work: Coroutine[None, None, None],
) -> AsyncGenerator[asyncio.Task[None], None]:
    """Run `work` as a task while entered, then end it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await end(task)


class BackgroundTask:
    """Runs `_run` as a task while entered, then ends it."""

    _task: asyncio.Task[None]

    async def _run(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(self._task)
