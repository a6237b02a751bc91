"""A load balancer in front of gateways: in turn to each that is not taken out."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.eventually import eventually


class Balancer:
    """Tries nothing twice: what one gateway refuses is refused."""

    def __init__(self, urls: Sequence[str], client: aiohttp.ClientSession) -> None:
        self.url = ""
        self._urls = list(urls)
        self._client = client
        self._turns = count()
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def without(self, url: str) -> AsyncGenerator[None, None]:
        """Send nothing to this one, from when it has answered all that it was sent."""
        self._urls.remove(url)
        await eventually(lambda: not self._open[url])
        try:
            yield
        finally:
            self._urls.append(url)

    async def forward(self, request: web.Request) -> web.Response:
        url = self._urls[next(self._turns) % len(self._urls)]
        body = await request.read()
        self._open[url] += 1
        try:
            headers = {"Content-Type": request.headers["Content-Type"]}
            async with self._client.post(url, data=body, headers=headers) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type,
                )
        finally:
            self._open[url] -= 1


@asynccontextmanager
async def balanced(urls: Sequence[str]) -> AsyncGenerator[Balancer, None]:
    """One that listens until the context is left."""
    async with aiohttp.ClientSession() as client:
        balancer = Balancer(urls, client)
        app = web.Application()
        app.router.add_post("/api/webhooks/vapi", balancer.forward)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.1)
        balancer.url = str(server.make_url("/api/webhooks/vapi"))
        try:
            yield balancer
        finally:
            await server.close()
