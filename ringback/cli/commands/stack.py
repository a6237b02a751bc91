"""`ringback up`, `down` and `status`: the stack on this machine."""

import asyncio
from pathlib import Path

from cyclopts import App
from rich.console import RenderableType

from ringback.cli.client.addresses import Addresses, local_ports
from ringback.cli.client.database import database
from ringback.cli.client.probes import ServiceHealth, queue_counts, service_health
from ringback.cli.terminal import EXIT_FAILED, CommandError, out
from ringback.cli.views.status_view import (
    counts_table,
    queues_table,
    services_table,
    stack_line,
    trouble,
)
from ringback.local.ports import LOOPBACK, LocalPorts
from ringback.local.running_stack import stack_status, stop_running_stack
from ringback.local.stack import run_stack
from ringback.runtime.postgres.queries import load

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


status = App(name="status", help_epilogue="")


@status.default
def _status(*, data: Path = Path(".ringback")) -> int:
    """Show what runs, what waits in the queues and what became of the last day's webhooks.

    The exit status is 0 if every service is ready, and broker and database answer.

    Parameters
    ----------
    data
        The folder that `ringback up` was given.
    """
    return asyncio.run(_show(data))


async def _show(data: Path) -> int:
    addresses = Addresses.from_env(state_dir=data)
    stack, services, queues, counts = await asyncio.gather(
        stack_status(data),
        _services(local_ports(state_dir=data)),
        _queues(addresses),
        _counts(addresses),
    )
    console = out()
    for part in (stack_line(stack, data), services_table(services), queues[0], counts[0]):
        console.print(part)
        console.print()
    all_well = all(service.ready for service in services) and queues[1] and counts[1]
    return 0 if all_well else EXIT_FAILED


async def _services(ports: LocalPorts) -> list[ServiceHealth]:
    observability_ports = {
        "gateway": ports.services.gateway_observability,
        "processor": ports.services.processor_observability,
        "metrics": ports.services.metrics_observability,
    }
    return await asyncio.gather(
        *(
            service_health(name, f"http://{LOOPBACK}:{port}")
            for name, port in observability_ports.items()
        )
    )


async def _queues(addresses: Addresses) -> tuple[RenderableType, bool]:
    try:
        queues = await queue_counts(addresses.amqp, addresses.schedule)
    except CommandError as exc:
        return trouble(str(exc)), False
    all_there = all(queue.ready is not None for queue in queues)
    return queues_table(queues, addresses.schedule), all_there


async def _counts(addresses: Addresses) -> tuple[RenderableType, bool]:
    try:
        async with database(addresses.database) as connection:
            rows = await connection.fetch(load("ringback.cli.commands", "counts_by_status.sql"))
    except CommandError as exc:
        return trouble(str(exc)), False
    return counts_table({row["status"]: row["count"] for row in rows}), True
