import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager

from ringback.cli.terminal import err


@contextmanager
def stop_on_interrupt() -> Generator[asyncio.Event, None, None]:
    """An event that the first Ctrl-C sets; the second cancels the task that entered."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    stop = asyncio.Event()

    def on_interrupt() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        err().print("Stopping. Ctrl-C again does not wait for what is under way.")

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)
