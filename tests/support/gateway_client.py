"""A client for a gateway, and the settings of a gateway in a test."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from ringback.local.ports import free_ports
from ringback.runtime.process.settings import load
from ringback.services.gateway.settings import GatewaySettings
from tests.support.eventually import PATIENCE_S

SECRET = "a-secret-of-tests"
DEFAULT_ORG = "00000000-0000-0000-0000-000000000001"
PATH = "/api/webhooks/vapi"
NOBODY = "127.0.0.1:1"
PATIENT = {
    "RINGBACK_PUBLISH_TIMEOUT_S": "60",
    "RINGBACK_SPOOL_TIMEOUT_S": "60",
    "RINGBACK_BODY_TIMEOUT_S": "60",
}
"""A busy disk may confirm and store late."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


def assert_problem(answer: Answer, status: int, detail: str) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.body) == {"type", "title", "status", "detail"}
    assert answer.body["status"] == status
    assert detail in answer.body["detail"]


@dataclass
class GatewayClient:
    session: aiohttp.ClientSession
    port: int

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
        async with self.session.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            data=body,
            headers=kept,
            skip_auto_headers=skipped,
        ) as got:
            content = await got.json(content_type=None) if method != "HEAD" else None
            return Answer(got.status, got.headers, content)

    async def send_raw(self, *pieces: bytes) -> bytes:
        """Send bytes unchanged, and return the response until the other side closes.

        The gateway may close before it has read everything. That resets the connection, and a
        stream of asyncio would then forget the response; a socket gives it before the error.
        """
        loop = asyncio.get_running_loop()
        received = bytearray()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(0)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(_send(connection, pieces))
                with suppress(ConnectionError):
                    while data := await loop.sock_recv(connection, 65_536):
                        received += data
        return bytes(received)


async def _send(connection: socket.socket, pieces: Sequence[bytes]) -> None:
    with suppress(ConnectionError):
        for data in pieces:
            await asyncio.get_running_loop().sock_sendall(connection, data)
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)


def settings_for(amqp_url: str, database_url: str, **more: str) -> GatewaySettings:
    port, health_port = free_ports(2)
    environ = {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_VAPI_SECRET": SECRET,
        # Tests send as fast as they can, and count the messages of one queue.
        "RINGBACK_ORG_RATE_PER_S": "0",
        **PATIENT,
        "RINGBACK_GATEWAY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_PORT": str(port),
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": str(health_port),
        **{f"RINGBACK_{name.upper()}": value for name, value in more.items()},
    }
    return load(GatewaySettings, environ)
