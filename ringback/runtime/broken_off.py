import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def broken_off_as_error() -> Generator[None, None, None]:
    """Around what is asked of the broker: tell a closed connection from a cancellation.

    The library cancels its own futures when a connection is closed, and whoever awaits one of them
    gets a CancelledError although nobody has cancelled it: that becomes a ConnectionError. And
    when somebody does cancel, the library may raise an error of its own instead, or return: that
    becomes a CancelledError, or a loop that survives errors would never end.
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
    """How often the present task was told to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
