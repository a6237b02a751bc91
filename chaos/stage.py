"""All of Ringback with its own broker and database, ready for faults."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import asyncpg

from chaos.disks import BrokerDisk, SpoolDisk, spool_settings
from chaos.fault_proxy import FaultProxy
from chaos.receiver import Receiver
from chaos.shop import PORT_VARIABLE, Shop
from chaos.supervised import Supervised
from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.ports import LOOPBACK, BrokerPorts, ServicePorts, free_ports, named_ports
from ringback.local.stack_service import (
    StackContext,
    demo_endpoints,
    service_environment,
    service_specs,
    urls_by_role,
)
from ringback.runtime.amqp import topology
from ringback.runtime.postgres.migrate import migrate
from ringback.runtime.postgres.queries import load

SCHEDULE = RetrySchedule.parse("500ms,1s,2s")
ATTEMPT_TIMEOUT_S = 10.0
OTHER_ORG = "flooding"
"""The only endpoint of its org; all others belong to the default one."""

_ROOT = Path(__file__).parents[1]
_READY_WITHIN_S = 180.0
_CONNECTED_WITHIN_S = 60.0
_CONNECT_AGAIN_S = 0.3
_POLL_S = 0.1
JWT_SECRET = "a secret of the chaos suite and of nobody else"  # ruff: ignore[hardcoded-password-string]  # of a stage on loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs. Each service is restarted when it dies; the nodes are left to the faults."""

    broker: PrivateBroker
    database: PrivateDatabase
    gateway: Supervised
    processor: Supervised
    metrics: Supervised
    ports: ServicePorts
    around: StackContext
    """What another replica of a service needs."""
    broker_link: FaultProxy
    """The services' link to the broker."""
    database_link: FaultProxy
    spool_disk: SpoolDisk
    broker_disk: BrokerDisk
    answers_port: int
    """Where the gateway asks questions of the endpoint `demo`; nothing listens there."""
    shop: Shop
    """The service that handlers call."""
    receiver: Receiver
    """Where the webhooks of one endpoint are forwarded."""
    complaints: list[str]
    """Problems that faults found; emptied for each fault."""
    declared_at: float
    """When the queues were created, by the monotonic clock."""

    @property
    def folder(self) -> Path:
        return self.around.state_dir

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
        """Wait until the queues are old enough for a node to be killed."""
        await asyncio.sleep(max(0.0, self.declared_at + seconds - time.monotonic()))

    async def until(
        self,
        is_true: Callable[[], bool | Awaitable[bool]],
        *,
        within_s: float,
        otherwise: str,
        every_s: float = _POLL_S,
    ) -> bool:
        """Wait until it is true, and return whether it is; if not, `otherwise` is a complaint."""
        deadline = time.monotonic() + within_s
        while True:
            found = is_true()
            if found if isinstance(found, bool) else await found:
                return True
            if time.monotonic() > deadline:
                self.complaints.append(otherwise)
                return False
            await asyncio.sleep(every_s)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection, None]:
        """A connection to the database, as its owner. It waits while the database is down."""
        connection = await _connection(self.database.url())
        try:
            yield connection
        finally:
            connection.terminate()


async def _connection(url: str) -> asyncpg.Connection:
    deadline = time.monotonic() + _CONNECTED_WITHIN_S
    while True:
        try:
            return await asyncpg.connect(url, timeout=10, command_timeout=60)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_CONNECT_AGAIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The nodes that run before the services start, and the ports left for the services."""

    broker: PrivateBroker
    database: PrivateDatabase
    broker_link: FaultProxy
    database_link: FaultProxy
    service_ports: ServicePorts
    answers_port: int

    def urls_through_proxies(self) -> tuple[str, str]:
        """Broker and database, through the proxies."""
        return (
            self.broker_link.through(self.broker.amqp_url()),
            self.database_link.through(self.database.url()),
        )


@asynccontextmanager
async def running_nodes(folder: Path) -> AsyncGenerator[Nodes, None]:
    """Start both below `folder`, on ports that are free at this moment."""
    broker_names, service_names = named_ports(BrokerPorts()), named_ports(ServicePorts())
    sql, answers_port, *others = free_ports(2 + len(broker_names) + len(service_names))
    broker_ports = BrokerPorts(**dict(zip(broker_names, others, strict=False)))
    ports = ServicePorts(**dict(zip(service_names, others[len(broker_names) :], strict=True)))
    broker = PrivateBroker(folder / "broker", broker_ports)
    database = PrivateDatabase(folder / "database", sql, superuser_over_tcp=True)
    async with AsyncExitStack() as stack:
        await asyncio.gather(broker.start(), database.start())
        stack.push_async_callback(broker.stop)
        stack.push_async_callback(database.stop)
        yield Nodes(
            broker=broker,
            database=database,
            broker_link=await stack.enter_async_context(FaultProxy(broker_ports.amqp)),
            database_link=await stack.enter_async_context(FaultProxy(sql)),
            service_ports=ports,
            answers_port=answers_port,
        )


@asynccontextmanager
async def running_stage(folder: Path, *, is_measured: bool = False) -> AsyncGenerator[Stage, None]:
    """Start everything below `folder`; all of it has ended when the context ends.

    With `is_measured` the services use both nodes and the disk as users' services do. Otherwise
    proxies can disturb the links, and the disk of the spool can be filled.
    """
    async with AsyncExitStack() as stack:
        broker_disk = BrokerDisk(folder / "broker" / "data", folder / "broker.ext4")
        if not is_measured:
            await stack.enter_async_context(broker_disk)
        nodes = await stack.enter_async_context(running_nodes(folder))
        await _prepare(nodes)
        declared_at = time.monotonic()
        shop = await stack.enter_async_context(Shop())
        receiver = await stack.enter_async_context(Receiver())
        spool_disk = SpoolDisk(folder / "spool")
        if is_measured:
            around = _surroundings(folder, nodes, nodes.broker.amqp_url(), nodes.database.url())
        else:
            await stack.enter_async_context(spool_disk)
            around = _surroundings(folder, nodes, *nodes.urls_through_proxies())
            around = replace(around, environ={**around.environ, **spool_settings(spool_disk)})
        ours = {PORT_VARIABLE: str(shop.port), **receiver.declare(folder, around.environ)}
        around = replace(around, environ={**around.environ, **ours})
        services = await _started(stack, around, folder)
        stage = Stage(
            broker=nodes.broker,
            database=nodes.database,
            broker_link=nodes.broker_link,
            database_link=nodes.database_link,
            spool_disk=spool_disk,
            broker_disk=broker_disk,
            ports=around.ports,
            around=around,
            answers_port=nodes.answers_port,
            shop=shop,
            receiver=receiver,
            complaints=[],
            declared_at=declared_at,
            **services,
        )
        await stage.ready()
        yield stage


async def _started(
    stack: AsyncExitStack, around: StackContext, folder: Path
) -> dict[str, Supervised]:
    return {
        spec.name: await stack.enter_async_context(
            Supervised(spec, service_environment(spec.name, around), folder / "logs")
        )
        for spec in service_specs(around.ports)
    }


async def _prepare(nodes: Nodes) -> None:
    await nodes.database.ensure_database("ringback")
    await migrate(nodes.database.url())
    await topology.apply(nodes.broker.amqp_url(), SCHEDULE)
    await install(nodes.database.url())


async def install(database_url: str) -> None:
    """Create the suite's table of effects; an existing one is left unchanged."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=60)
    try:
        await connection.execute(load("chaos", "install.sql"))
    finally:
        await connection.close(timeout=10)


def _surroundings(folder: Path, nodes: Nodes, amqp_url: str, database_url: str) -> StackContext:
    demo = demo_endpoints({}, nodes.answers_port)
    flooding = {OTHER_ORG: {"org_id": str(UUID(int=2))}}
    endpoints = json.loads(demo["RINGBACK_ENDPOINTS"]) | flooding
    foreign = {name: text for name, text in os.environ.items() if not name.startswith("RINGBACK_")}
    ours = {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path]),
        "RINGBACK_RETRY_SCHEDULE": str(SCHEDULE),
        "RINGBACK_HANDLERS": "chaos.handlers",
        "RINGBACK_ATTEMPT_TIMEOUT_S": f"{ATTEMPT_TIMEOUT_S:g}",
        "RINGBACK_TRACE_FILE": "",
        **demo,
        "RINGBACK_ENDPOINTS": json.dumps(endpoints),
    }
    return StackContext(
        environ={**foreign, **ours},
        amqp_url=amqp_url,
        database_urls=urls_by_role(database_url),
        ports=nodes.service_ports,
        jwt_secret=JWT_SECRET,
        state_dir=folder,
        management_url=nodes.broker.management_url,
        answers_port=nodes.answers_port,
    )
