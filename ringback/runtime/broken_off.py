import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def broken_off_as_error() -> Generator[None, None, None]:
    """Around what is asked of the broker: a CancelledError that is none is a ConnectionError.

    The library cancels its own futures when a connection is closed, and whoever awaits one of them
    gets that, although nobody has cancelled him.
    """
    try:
        yield
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("The connection was closed in the meantime.") from exc
