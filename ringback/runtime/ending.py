"""Ends tasks, also those that lose a cancellation."""

import asyncio

_CANCEL_AGAIN_S = 5.0
"""More than any task takes to clean up behind itself."""


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and return when all have ended. Raises the first error that one ended with.

    They are cancelled again while they go on: a cancellation can get lost. `asyncio.wait_for` of
    Python 3.11 returns instead when what it waits for is done at that moment, and a library may
    raise an error of its own in the place of CancelledError.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.result()
