"""A balancer like a Kubernetes Service, behind which gateways are replaced."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from chaos.supervised import Replica
from ringback.local.ports import LOOPBACK
from tests.support.eventually import eventually

READY_WITHIN_S = 300


class Balancer:
    """A new connection goes to the next gateway, and stays there until one side closes it."""

    def __init__(self, gateways: Sequence[Replica]) -> None:
        self.url = ""
        self.ports = [gateway.ports.gateway for gateway in gateways]
        self.failed = 0
        self._turns = count()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self.ports[next(self._turns) % len(self.ports)]
        try:
            from_gateway, to_gateway = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            self.failed += 1
            writer.close()
            return
        await asyncio.gather(_copy(reader, to_gateway), _copy(from_gateway, writer))

    async def replace(self, gateway: Replica) -> None:
        """Replace a gateway as Kubernetes does: first no new connections, then SIGTERM."""
        self.ports.remove(gateway.ports.gateway)
        await restart(gateway)
        self.ports.append(gateway.ports.gateway)


async def restart(replica: Replica) -> None:
    """Stop it as for a new version, and wait until it is ready again."""
    deaths = replica.service.deaths
    assert await replica.service.running.stop()
    await eventually(lambda: replica.service.deaths > deaths)
    await replica.service.ready(within_s=READY_WITHIN_S)


@asynccontextmanager
async def balanced(gateways: Sequence[Replica]) -> AsyncGenerator[Balancer, None]:
    """One that listens until the context is left."""
    balancer = Balancer(gateways)
    async with await asyncio.start_server(balancer.connected, LOOPBACK) as server:
        balancer.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        yield balancer


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
