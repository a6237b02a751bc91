"""A gateway in the event loop of a test, with a broker and a database."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from ringback.services.gateway.app import serve
from ringback.services.gateway.settings import GatewaySettings
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, GatewayClient


@dataclass
class RunningGateway(GatewayClient):
    health_port: int
    task: asyncio.Task[None]
    stop: asyncio.Event

    async def ends(self) -> None:
        """Stop the gateway; close all connections first, so that it does not wait for them."""
        await self.session.close()
        self.stop.set()
        await self.task

    async def ready(self) -> bool:
        async with self.session.get(f"http://127.0.0.1:{self.health_port}/readyz") as got:
            return got.status == 200

    async def metric(self, name: str, **labels: str) -> float:
        """The current value of a metric; 0 if it has no value yet."""
        async with self.session.get(f"http://127.0.0.1:{self.health_port}/metrics") as got:
            lines = (await got.text()).splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for line in lines:
            if line.partition("{")[0].partition(" ")[0] == name and all(w in line for w in wanted):
                return float(line.rpartition(" ")[2])
        return 0.0


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncGenerator[RunningGateway]:
    """A gateway that listens, and has its broker unless that is NOBODY.

    It is stopped at the end, unless it has stopped before.
    """
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    async with aiohttp.ClientSession() as session:
        gateway = RunningGateway(
            session, settings.gateway_port, settings.gateway_observability_port, task, stop
        )
        try:
            await eventually(lambda: _listens(gateway))
            if f"{NOBODY}/" not in settings.amqp_url.get_secret_value():
                await eventually(lambda: gateway.metric("ringback_broker_connected"))
            yield gateway
        finally:
            await gateway.ends()


async def _listens(gateway: RunningGateway) -> bool:
    if gateway.task.done():
        await gateway.task
    try:
        await gateway.send(method="GET")
    except aiohttp.ClientConnectorError:
        return False
    return True
