"""How a signal ends a process at once, also the first process of a container.

The kernel does nothing to a PID 1 for a signal that it does not handle: told to stop while it is
still loading, a container would run on until it is killed. This module imports next to nothing, so
that it can come before all that takes time to load.
"""

import os
import signal


def end_by(number: int) -> None:
    """End at once: by the signal itself, or where that does nothing with 128 and its number."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)


def end_by_sigterm() -> None:
    """From now on SIGTERM ends this process, until a loop takes the signal over."""
    signal.signal(signal.SIGTERM, lambda number, _: end_by(number))
