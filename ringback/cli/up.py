import asyncio
from pathlib import Path

from cyclopts import App

from ringback.local.stack import run_stack

up = App(name="up", help_epilogue="")


@up.default
def _up(*, data: Path = Path(".ringback")) -> None:
    """Start everything on this machine and stay in the foreground; Ctrl-C stops it all.

    Starts a private PostgreSQL and a private RabbitMQ, migrates, declares the queues, then starts
    the gateway, the processor and the metrics service. With RINGBACK_AMQP_URL or
    RINGBACK_DATABASE_URL set, those are used instead. Where Prometheus is installed, one watches
    it all. The data stays for the next time.

    Parameters
    ----------
    data
        The folder for data and logs.
    """
    asyncio.run(run_stack(data))
