import asyncio
from pathlib import Path

from cyclopts import App
from rich.console import RenderableType

from ringback.cli.addresses import Addresses, local_ports
from ringback.cli.database import database
from ringback.cli.failure import CommandError
from ringback.cli.queue_counts import queue_counts
from ringback.cli.service_health import ServiceHealth, service_health
from ringback.cli.status_screen import (
    counts_table,
    queues_table,
    services_table,
    stack_line,
    trouble,
)
from ringback.cli.terminal import EXIT_FAILED, out
from ringback.local.ports import LOOPBACK, LocalPorts
from ringback.local.running_stack import stack_status
from ringback.runtime.postgres.queries import load

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
            rows = await connection.fetch(load("ringback.cli", "counts_by_status.sql"))
    except CommandError as exc:
        return trouble(str(exc)), False
    return counts_table({row["status"]: row["count"] for row in rows}), True
