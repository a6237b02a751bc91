import asyncio
from pathlib import Path

from cyclopts import App

from ringback.cli.terminal import out
from ringback.local.running_stack import stop_running_stack

down = App(name="down", help_epilogue="")


@down.default
def _down(*, data: Path = Path(".ringback")) -> None:
    """Stop what `ringback up` started. Webhooks in flight are finished first; the data stays.

    Parameters
    ----------
    data
        The folder that `ringback up` was given.
    """
    stopped = asyncio.run(stop_running_stack(data))
    if stopped is None:
        out().print(f"Nothing runs in {data}.")
    else:
        out().print(f"Stopped the local stack (process {stopped.pid}). The data stays in {data}.")
