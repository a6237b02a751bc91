"""A separate port for /metrics (Prometheus), /livez and /readyz (the orchestrator)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, Self

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from ringback.runtime.http.bounded_server import bounded_server
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import listen

Ping = Callable[[], Awaitable[bool]]

_PING_TIMEOUT_S = 2.0
_CLOSE_TIMEOUT_S = 1.0
_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_MAX_CONNECTIONS = 50
"""Prometheus and the probes need one each."""


class ObservabilityServer:
    """Serves health and metrics while it is entered.

    `/livez` answers 200 while the event loop runs. `/readyz` answers 200 if the process has
    started, is not draining, and every ping succeeds within 2 s; otherwise 503. Its body names what
    is not ready but never why, because error texts may contain hosts and secrets.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        readiness: Mapping[str, Ping],
        ping_timeout_s: float = _PING_TIMEOUT_S,
    ) -> None:
        self._address = (host, port)
        self._ping_timeout_s = ping_timeout_s
        self._readiness = dict(readiness)
        self._started = False
        self._draining = False
        self._pages: Mapping[str, Callable[[Any], Awaitable[web.StreamResponse]]] = {
            "/metrics": make_aiohttp_handler(registry),
            "/livez": self._livez,
            "/readyz": self._readyz,
        }
        self._stack = AsyncExitStack()

    def started(self) -> None:
        """Mark the start as finished; until now only health could be queried."""
        self._started = True

    def drain(self) -> None:
        """Report the process as not ready from now on, so that new work goes elsewhere."""
        self._draining = True

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            connections = ConnectionLimits(_MAX_CONNECTIONS, on_close=lambda _: None)
            server = await stack.enter_async_context(bounded_server(self._answer, connections))
            runner = web.ServerRunner(server, shutdown_timeout=_CLOSE_TIMEOUT_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            for listening in listen(*self._address, setting="RINGBACK_..._OBSERVABILITY_PORT"):
                await web.SockSite(runner, listening).start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        if request.method not in _METHODS:
            return web.Response(status=HTTPStatus.METHOD_NOT_ALLOWED)
        return await page(request)

    @staticmethod
    async def _livez(_request: web.BaseRequest) -> web.Response:
        return web.json_response({"live": True})

    async def _readyz(self, _request: web.BaseRequest) -> web.Response:
        answers = await asyncio.gather(*(self._is_ready(ping) for ping in self._readiness.values()))
        checks = dict(zip(self._readiness, answers, strict=True))
        checks["started"] = self._started
        checks["not_draining"] = not self._draining
        ready = all(checks.values())
        return web.json_response({"ready": ready, "checks": checks}, status=200 if ready else 503)

    async def _is_ready(self, ping: Ping) -> bool:
        try:
            async with asyncio.timeout(self._ping_timeout_s):
                return await ping()
        except Exception:  # ruff: ignore[blind-except]  # after any error the answer is no
            return False
