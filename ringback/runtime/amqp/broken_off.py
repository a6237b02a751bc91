import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def broken_off_as_error() -> Generator[None, None, None]:
    """Tell a closed broker connection from a real cancellation.

    The library cancels its own futures when a connection is closed, so a task that awaits one of
    them gets a CancelledError although nobody cancelled the task. This becomes a ConnectionError.
    When the task really is cancelled, the library may raise its own error or return instead. This
    becomes a CancelledError; otherwise a loop that survives errors would never end.
    """
    before = _cancellations()
    try:
        yield
    except asyncio.CancelledError as exc:
        if _cancellations() > before:
            raise
        raise ConnectionError("The connection was closed in the meantime.") from exc
    except Exception as exc:
        if _cancellations() > before:
            raise asyncio.CancelledError from exc
        raise
    if _cancellations() > before:
        raise asyncio.CancelledError


def _cancellations() -> int:
    """How often the current task was cancelled."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
