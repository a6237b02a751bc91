"""Several replicas of one service with one broker and one database, on different ports."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from chaos.supervised import Supervised
from ringback.local.ports import LOOPBACK, ServicePorts, free_ports, named_ports
from ringback.local.stack_service import Surroundings, service_environment, service_specs

_READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Replica:
    service: Supervised
    ports: ServicePorts

    @property
    def url(self) -> str:
        """Where webhooks are sent, if it is a gateway."""
        return f"http://{LOOPBACK}:{self.ports.gateway}/api/webhooks/vapi"

    @property
    def observability_url(self) -> str:
        return f"http://{LOOPBACK}:{self.service.spec.observability_port}"

    @property
    def grpc_address(self) -> str:
        return f"{LOOPBACK}:{self.ports.metrics_grpc}"


@asynccontextmanager
async def replicas(
    name: str, count: int, around: Surroundings, **variables: str
) -> AsyncGenerator[tuple[Replica, ...], None]:
    """Run `count` replicas of the service `name`, all ready. They end with the context.

    `variables` are added to their environment. Each has its own folder, for its spool.
    """
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(_replica(name, number, around, variables))
            for number in range(1, count + 1)
        ]
        await asyncio.gather(*(one.service.ready(within_s=_READY_WITHIN_S) for one in found))
        yield tuple(found)


@asynccontextmanager
async def _replica(
    name: str, number: int, around: Surroundings, variables: Mapping[str, str]
) -> AsyncGenerator[Replica, None]:
    names = named_ports(ServicePorts())
    ports = ServicePorts(**dict(zip(names, free_ports(len(names)), strict=True)))
    folder = around.state_dir / f"{name}-{ports.gateway}-{number}"
    folder.mkdir(parents=True)
    mine = replace(around, ports=ports, state_dir=folder)
    [spec] = [spec for spec in service_specs(ports) if spec.name == name]
    env = {**service_environment(name, mine), **variables}
    async with Supervised(spec, env, folder / "logs") as service:
        yield Replica(service, ports)
