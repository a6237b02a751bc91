"""The port apart: /metrics for Prometheus, /livez and /readyz for whoever runs the process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from ringback.runtime.lifecycle import CannotStartError
from ringback.runtime.listening import listen

Ping = Callable[[], Awaitable[bool]]

_PING_TIMEOUT_S = 2.0
_CLOSE_TIMEOUT_S = 1.0


class Exposition:
    """Serves health and metrics while it is entered.

    `/livez` answers 200 as long as the event loop turns. `/readyz` answers 200 when the process
    has started, every ping says yes within 2 s and it is not draining; else 503. Its body names
    what is not ready, and never why: an error text may hold hosts and secrets.
    """

    def __init__(
        self, *, host: str, port: int, registry: CollectorRegistry, readiness: Mapping[str, Ping]
    ) -> None:
        self._address = (host, port)
        self._readiness = dict(readiness)
        self._started = False
        self._draining = False
        app = web.Application()
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_TIMEOUT_S)

    def started(self) -> None:
        """All is open that takes work; before, only its health could be asked."""
        self._started = True

    def drain(self) -> None:
        """From now on the process is not ready: whoever sends it work should send it elsewhere."""
        self._draining = True

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            for listening in listen(*self._address, setting="RINGBACK_..._EXPOSITION_PORT"):
                await web.SockSite(self._runner, listening).start()
        except CannotStartError:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @staticmethod
    async def _livez(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        answers = await asyncio.gather(*(_ask(ping) for ping in self._readiness.values()))
        checks = dict(zip(self._readiness, answers, strict=True))
        checks["started"] = self._started
        checks["not_draining"] = not self._draining
        ready = all(checks.values())
        return web.json_response({"ready": ready, "checks": checks}, status=200 if ready else 503)


async def _ask(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            return await ping()
    except Exception:  # ruff: ignore[blind-except]  # whatever a ping raises, the answer is no
        return False
