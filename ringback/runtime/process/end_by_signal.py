"""How a signal ends a process at once, even if it is the first process of a container.

The kernel ignores a signal to PID 1 that the process does not handle, so a container that is
stopped while it is still loading would run until it is killed. This module imports almost nothing,
so that it can be imported before anything that loads slowly.
"""

import os
import signal


def end_by(number: int) -> None:
    """End at once, by the signal or, if that has no effect, with status 128 plus its number."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)


def end_by_sigterm() -> None:
    """Let SIGTERM end this process, until an event loop handles the signal."""
    signal.signal(signal.SIGTERM, lambda number, _: end_by(number))
