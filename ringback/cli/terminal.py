"""A command's output, exit statuses and errors: results on stdout, the rest on stderr."""

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from ringback.local.console import TextConsole

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_CLOSED_PIPE = 128 + signal.SIGPIPE

_PIPE_WIDTH = 10_000

JsonFlag = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
"""The option --json of a command that does not use the metrics API."""


def out() -> Console:
    """The console for results. Created when needed, so that it uses the current stdout.

    A file or pipe gets whole lines, unless COLUMNS is set.
    """
    console = TextConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def err() -> Console:
    return TextConsole(stderr=True)


def complain(sentence: str) -> None:
    err().print(Text("Error: ", "bold red").append(sentence, "default"), soft_wrap=True)


def forget_stdout() -> None:
    """Discard buffered output after its reader has closed, so that exiting does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class CommandError(Exception):
    """The command failed; the message is shown to the user."""


class BadInputError(CommandError):
    """The input is invalid; the message names the valid forms."""


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
        err().print("Stopping. Press Ctrl-C again to quit without waiting for requests in flight.")

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def confirmed(question: str) -> bool:
    """Whether the user answers yes; no is the default."""
    try:
        return Confirm.ask(Text(question), console=err(), default=False)
    except EOFError:
        return False


def write_json(document: bytes) -> None:
    """Write a line of UTF-8, independent of the terminal's encoding, because programs read it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.flush()
