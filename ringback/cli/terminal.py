"""A command's output, exit statuses and errors: results on stdout, the rest on stderr."""

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from ringback.local.console import TextConsole

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_CLOSED_PIPE = 128 + signal.SIGPIPE


def out() -> Console:
    """The console for results. Created when needed, so that it uses the current stdout."""
    return TextConsole()


def err() -> Console:
    return TextConsole(stderr=True)


def complain(sentence: str) -> None:
    err().print(Text("Error: ", "bold red").append(sentence, "default"), soft_wrap=True)


def forget_stdout() -> None:
    """The output's reader is gone; flushing the rest at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class CommandError(Exception):
    """The command cannot do this; the text is a sentence for its user."""


class BadInputError(CommandError):
    """The input is invalid; the text names the valid forms."""


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


def write_json(document: bytes) -> None:
    """In UTF-8, whatever the terminal's encoding is, because programs read it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.flush()
