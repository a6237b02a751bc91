"""The broker and the database of a stage, each behind a proxy."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault_proxy import FaultProxy
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.ports import BrokerPorts, ServicePorts, free_ports, named_ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The nodes that run before the services start, and the ports left for the services."""

    broker: PrivateBroker
    database: PrivateDatabase
    broker_link: FaultProxy
    database_link: FaultProxy
    service_ports: ServicePorts

    def urls_through_links(self) -> tuple[str, str]:
        """Broker and database, through the proxies."""
        return (
            self.broker_link.through(self.broker.amqp_url()),
            self.database_link.through(self.database.url()),
        )


@asynccontextmanager
async def running_nodes(folder: Path) -> AsyncGenerator[Nodes, None]:
    """Start both below `folder`, on ports that are free at this moment."""
    broker_names, service_names = named_ports(BrokerPorts()), named_ports(ServicePorts())
    sql, *others = free_ports(1 + len(broker_names) + len(service_names))
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
        )
