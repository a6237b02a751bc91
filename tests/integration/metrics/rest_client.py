"""The REST server in front of methods that a test defines, and a client for it."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from ringback.local.ports import free_ports
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.services.metrics.transport.rest_server import rest_server
from ringback.services.metrics.transport.spans import CallSpans
from tests.support.tokens import bearer
from tests.unit.metrics.transport.scripted_api import ScriptedApi

API = "/api/webhook-metrics"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Any
    text: str
    #: The document; None if it is not JSON.
    json: Any


class RestClient:
    """Calls as a service, if a test gives no other token."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port = port
        self.session = session

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def headers(self, headers: dict[str, str] | None, token: str | None) -> dict[str, str]:
        authorization = {} if token is None else {"Authorization": token or bearer()}
        return authorization | (headers or {})

    async def ask(
        self,
        verb: str,
        path: str,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """`path` is below the API; `token` is a header's value, None for no header."""
        head = self.headers(headers, token)
        async with self.session.request(
            verb, self.url(API + path), headers=head, **options
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json") and "\n" not in text.rstrip("\n")
            document = await answer.json(content_type=None) if is_json and text else None
            return Answer(answer.status, answer.headers, text, document)


@asynccontextmanager
async def rest_client(port: int) -> AsyncGenerator[RestClient, None]:
    async with aiohttp.ClientSession() as session:
        yield RestClient(port, session)


def server(
    api: ScriptedApi, port: int, *, drain_timeout_s: float = 60, **options: Any
) -> AbstractAsyncContextManager[None]:
    options.setdefault("connections", ConnectionLimits(1000, on_close=lambda _: None))
    return rest_server(
        host="127.0.0.1",
        port=port,
        dispatcher=api.dispatcher,
        spans=CallSpans(NO_TRACES),
        drain_timeout_s=drain_timeout_s,
        **options,
    )


@asynccontextmanager
async def served(api: ScriptedApi, **options: Any) -> AsyncGenerator[RestClient, None]:
    """The server, on a free port, and a client of it."""
    [port] = free_ports(1)
    async with server(api, port, **options), rest_client(port) as client:
        yield client
