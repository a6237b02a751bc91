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
    error_text,
    queues_table,
    services_table,
    stack_line,
)
from ringback.local.ports import LOOPBACK, LocalPorts
from ringback.local.running_stack import stack_status, stop_running_stack
from ringback.local.stack import run_stack
from ringback.runtime.postgres.queries import load

up = App(name="up", help_epilogue="")


@up.default
def _up(*, data: Path = Path(".ringback")) -> None:
    """Start everything on this machine and stay in the foreground until Ctrl-C.

    This starts a private PostgreSQL and a private RabbitMQ, migrates the database, declares the
    queues, and starts the gateway, the processor and the metrics service. RINGBACK_DATABASE_URL
    and RINGBACK_AMQP_URL select existing servers instead. If Prometheus is installed, it is
    started, too. The data is kept for the next start.

    Parameters
    ----------
    data
        The folder for data and logs.
    """
    asyncio.run(run_stack(data))


down = App(name="down", help_epilogue="")


@down.default
def _down(*, data: Path = Path(".ringback")) -> None:
    """Stop what `ringback up` started. Webhooks in flight are finished, and the data is kept.

    Parameters
    ----------
    data
        The data folder of `ringback up`.
    """
    stopped = asyncio.run(stop_running_stack(data))
    if stopped is None:
        out().print(f"No local stack runs in {data}.")
    else:
        out().print(f"Stopped the local stack (process {stopped.pid}). The data is kept in {data}.")


status = App(name="status", help_epilogue="")


@status.default
def _status(*, data: Path = Path(".ringback")) -> int:
    """Show the services, the queues and the webhooks of the last 24 hours by status.

    The exit status is 0 if all services are ready, and the broker and the database answer.

    Parameters
    ----------
    data
        The data folder of `ringback up`.
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
    all_ready = all(service.ready for service in services) and queues[1] and counts[1]
    return 0 if all_ready else EXIT_FAILED


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
        return error_text(str(exc)), False
    all_there = all(queue.ready is not None for queue in queues)
    return queues_table(queues, addresses.schedule), all_there


async def _counts(addresses: Addresses) -> tuple[RenderableType, bool]:
    try:
        async with database(addresses.database) as connection:
            rows = await connection.fetch(load("ringback.cli.commands", "counts_by_status.sql"))
    except CommandError as exc:
        return error_text(str(exc)), False
    return counts_table({row["status"]: row["count"] for row in rows}), True
