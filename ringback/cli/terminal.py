"""A command's output: results on stdout, progress and errors on stderr."""

import os
import signal
import sys

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
