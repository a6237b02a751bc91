"""All of Ringback with a broker and a database of its own, for faults to be put against."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from chaos.supervised import Supervised
from ringback.contract.ladder import Ladder
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.ports import LOOPBACK, BrokerPorts, ServicePorts, free_ports, named_ports
from ringback.local.stack_service import Surroundings, service_environment, service_specs
from ringback.runtime import topology
from ringback.runtime.migrate import migrate
from ringback.runtime.queries import load

LADDER = Ladder.parse("500ms,1s,2s")
_ROOT = Path(__file__).parents[1]
_READY_WITHIN_S = 60.0
JWT_SECRET = "a secret of the chaos suite and of nobody else"  # ruff: ignore[hardcoded-password-string]  # of a stage on loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs. Each service is started again when it dies; the nodes are left to the faults."""

    broker: PrivateBroker
    database: PrivateDatabase
    gateway: Supervised
    processor: Supervised
    metrics: Supervised
    ports: ServicePorts
    folder: Path
    complaints: list[str]
    """What faults found that should not be; emptied for each."""
    declared_at: float
    """When the queues were made, by the monotonic clock."""

    @property
    def services(self) -> tuple[Supervised, ...]:
        return (self.gateway, self.processor, self.metrics)

    @property
    def url(self) -> str:
        """Where webhooks are sent."""
        return f"http://{LOOPBACK}:{self.ports.gateway}/api/webhooks/vapi"

    async def ready(self) -> None:
        """Wait until all three services are ready. Raises LocalStackError."""
        await asyncio.gather(*(one.ready(within_s=_READY_WITHIN_S) for one in self.services))

    async def settled(self, seconds: float) -> None:
        """Wait until the queues are so old that a node may be killed."""
        await asyncio.sleep(max(0.0, self.declared_at + seconds - time.monotonic()))

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection, None]:
        """A connection to the database, as its owner."""
        connection = await asyncpg.connect(self.database.url(), timeout=10, command_timeout=60)
        try:
            yield connection
        finally:
            connection.terminate()


@asynccontextmanager
async def running_stage(folder: Path) -> AsyncGenerator[Stage, None]:
    """Start everything below `folder`; all of it has ended when the context is left."""
    broker_names, service_names = named_ports(BrokerPorts()), named_ports(ServicePorts())
    sql, *others = free_ports(1 + len(broker_names) + len(service_names))
    broker_ports = BrokerPorts(**dict(zip(broker_names, others, strict=False)))
    ports = ServicePorts(**dict(zip(service_names, others[len(broker_names) :], strict=True)))
    broker = PrivateBroker(folder / "broker", broker_ports)
    database = PrivateDatabase(folder / "database", sql)
    async with AsyncExitStack() as stack:
        await asyncio.gather(broker.start(), database.start())
        stack.push_async_callback(broker.stop)
        stack.push_async_callback(database.stop)
        await _prepare(broker, database)
        declared_at = time.monotonic()
        around = _surroundings(folder, broker, database, ports)
        services = {
            spec.name: await stack.enter_async_context(
                Supervised(spec, service_environment(spec.name, around), folder / "logs")
            )
            for spec in service_specs(ports)
        }
        stage = Stage(
            broker=broker,
            database=database,
            ports=ports,
            folder=folder,
            complaints=[],
            declared_at=declared_at,
            **services,
        )
        await stage.ready()
        yield stage


async def _prepare(broker: PrivateBroker, database: PrivateDatabase) -> None:
    await database.ensure_database("ringback")
    await migrate(database.url())
    await topology.apply(broker.amqp_url(), LADDER)
    await install(database.url())


async def install(database_url: str) -> None:
    """Make the suite's table of effects; one that is there stays as it is."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=60)
    try:
        await connection.execute(load("chaos", "install.sql"))
    finally:
        await connection.close(timeout=10)


def _surroundings(
    folder: Path, broker: PrivateBroker, database: PrivateDatabase, ports: ServicePorts
) -> Surroundings:
    foreign = {name: text for name, text in os.environ.items() if not name.startswith("RINGBACK_")}
    return Surroundings(
        environ=foreign
        | {
            "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path]),
            "RINGBACK_RETRY_LADDER": str(LADDER),
            "RINGBACK_HANDLERS": "chaos.handlers",
            "RINGBACK_TRACE_FILE": "",
        },
        amqp_url=broker.amqp_url(),
        database_url=database.url(),
        is_private_database=True,
        ports=ports,
        jwt_secret=JWT_SECRET,
        state_dir=folder,
        management_url=broker.management_url,
    )
