"""`ringback up`, `down` and `status`: the stack on this machine."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
from cyclopts import App, Parameter

from ringback.cli.client.addresses import WEBHOOK_PATH, Addresses, local_ports
from ringback.cli.client.database import database
from ringback.cli.client.probes import ServiceHealth, queue_counts, service_health
from ringback.cli.terminal import EXIT_FAILED, CommandError, JsonFlag, out, write_json
from ringback.cli.views.status_view import (
    WebhookCounts,
    counts_table,
    error_text,
    queues_table,
    services_table,
    stack_line,
    status_document,
)
from ringback.local.ports import LOOPBACK, LocalPorts
from ringback.local.running_stack import stack_status, stop_running_stack
from ringback.local.stack import run_stack
from ringback.runtime.postgres.queries import load

T = TypeVar("T")

up = App(name="up", help_epilogue="")


@up.default
async def _up(
    *,
    data: Path = Path(".ringback"),
    reload: Annotated[bool, Parameter(negative="--no-reload")] = True,
) -> None:
    """Start everything on this machine and stay in the foreground until Ctrl-C.

    This starts a private PostgreSQL and a private RabbitMQ, migrates the database, declares the
    queues, and starts the gateway, the processor and the metrics service. RINGBACK_DATABASE_URL
    and RINGBACK_AMQP_URL select existing servers instead. If Prometheus is installed, it is
    started, too. The data is kept for the next start.

    Parameters
    ----------
    data
        The folder for data and logs.
    reload
        Restart the processor when a file of RINGBACK_HANDLERS changes, after it has finished its
        webhooks in flight.
    """
    await run_stack(data, reload=reload)


down = App(name="down", help_epilogue="")


@down.default
async def _down(*, data: Path = Path(".ringback")) -> None:
    """Stop what `ringback up` started. Webhooks in flight are finished, and the data is kept.

    Parameters
    ----------
    data
        The data folder of `ringback up`.
    """
    stopped = await stop_running_stack(data)
    if stopped is None:
        out().print(f"No local stack runs in {data}.")
    else:
        out().print(f"Stopped the local stack (process {stopped.pid}). The data is kept in {data}.")


status = App(name="status", help_epilogue="")


@status.default
async def _status(*, json: JsonFlag = False, data: Path = Path(".ringback")) -> int:
    """Show the services, the queues and the webhooks of the last 24 hours by status.

    The exit status is 0 if all services are ready, and the broker and the database answer.

    Parameters
    ----------
    json
        Print a JSON document.
    data
        The data folder of `ringback up`.
    """
    addresses = Addresses.from_env(state_dir=data)
    stack, services, queues, counts = await asyncio.gather(
        stack_status(data),
        _services(local_ports(state_dir=data)),
        _or_error(queue_counts(addresses.amqp, addresses.schedule)),
        _or_error(_counts(addresses)),
    )
    if json:
        write_json(orjson.dumps(status_document(stack, services, queues, counts)))
    else:
        console = out()
        for part in (
            stack_line(stack, data, services),
            services_table(services),
            error_text(queues)
            if isinstance(queues, str)
            else queues_table(queues, addresses.schedule),
            error_text(counts) if isinstance(counts, str) else counts_table(counts),
        ):
            console.print(part)
            console.print()
    all_queues = not isinstance(queues, str) and all(one.ready is not None for one in queues)
    all_ready = all(service.ready for service in services)
    return 0 if all_ready and all_queues and not isinstance(counts, str) else EXIT_FAILED


async def _or_error(reading: Awaitable[T]) -> T | str:
    """What was read, or why it could not be read."""
    try:
        return await reading
    except CommandError as exc:
        return str(exc)


async def _services(ports: LocalPorts) -> list[ServiceHealth]:
    own = ports.services
    gateway, rest = f"http://{LOOPBACK}:{own.gateway}", f"http://{LOOPBACK}:{own.metrics_rest}"
    services = (
        ("gateway", own.gateway_observability, (f"{gateway}{WEBHOOK_PATH}",)),
        ("processor", own.processor_observability, ()),
        ("metrics", own.metrics_observability, (rest, f"{LOOPBACK}:{own.metrics_grpc} (gRPC)")),
    )
    found = await asyncio.gather(
        *(service_health(name, f"http://{LOOPBACK}:{port}") for name, port, _ in services)
    )
    return [
        replace(health, addresses=addresses)
        for health, (_, _, addresses) in zip(found, services, strict=True)
    ]


async def _counts(addresses: Addresses) -> WebhookCounts:
    """Count the webhooks of the last 24 hours. Raises CommandError."""
    async with database(addresses.database) as connection:
        rows = await connection.fetch(load("ringback.cli.commands", "counts_by_status.sql"))
        waiting = await connection.fetchval(load("ringback.cli.commands", "waiting.sql"))
    return WebhookCounts({row["status"]: row["count"] for row in rows}, waiting)
