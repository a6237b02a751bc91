"""A gateway in the event loop of a test, and a client for it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from ringback.local.ports import free_ports
from ringback.runtime.process.settings import load
from services.gateway.app import serve
from services.gateway.settings import GatewaySettings
from tests.support.eventually import eventually

SECRET = "a-secret-of-tests"
DEFAULT_ORG = "00000000-0000-0000-0000-000000000001"
PATH = "/api/webhooks/vapi"
NOBODY = "127.0.0.1:1"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any
    took_s: float


def assert_problem(answer: Answer, status: int, detail: str) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.body) == {"type", "title", "status", "detail"}
    assert answer.body["status"] == status
    assert detail in answer.body["detail"]


@dataclass
class RunningGateway:
    session: aiohttp.ClientSession
    port: int
    health_port: int
    task: asyncio.Task[None]
    stop: asyncio.Event

    async def send(
        self,
        body: Any = b"",
        *,
        path: str = PATH,
        method: str = "POST",
        secret: str | None = SECRET,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a body as JSON with the right secret; a header that is None is left out."""
        sent = {"Content-Type": "application/json", "X-Vapi-Secret": secret, **(headers or {})}
        kept = {name: value for name, value in sent.items() if value is not None}
        skipped = ["Content-Type"] if "Content-Type" not in kept else []
        began = time.monotonic()
        async with self.session.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            data=body,
            headers=kept,
            skip_auto_headers=skipped,
        ) as got:
            content = await got.json(content_type=None) if method != "HEAD" else None
            return Answer(got.status, got.headers, content, time.monotonic() - began)

    async def send_raw(self, *pieces: bytes) -> bytes:
        """Send bytes unchanged, and return the response until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for data in pieces:
                writer.write(data)
                await asyncio.sleep(0.02 if len(pieces) > 1 else 0)
            return await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
            await writer.wait_closed()

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


def settings_for(amqp_url: str, database_url: str, **more: str) -> GatewaySettings:
    port, health_port = free_ports(2)
    environ = {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_VAPI_SECRET": SECRET,
        "RINGBACK_GATEWAY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_PORT": str(port),
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": str(health_port),
        **{f"RINGBACK_{name.upper()}": value for name, value in more.items()},
    }
    return load(GatewaySettings, environ)


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncGenerator[RunningGateway]:
    """A gateway that listens. It is stopped at the end, unless it has stopped before."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    async with aiohttp.ClientSession() as session:
        gateway = RunningGateway(
            session, settings.gateway_port, settings.gateway_observability_port, task, stop
        )
        try:
            await eventually(lambda: _listens(gateway))
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
