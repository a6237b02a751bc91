"""A server of a key set (JWKS) on this machine."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

KEY, OTHER_KEY = (generate_private_key(SECP256R1()) for _ in range(2))


def key_set(**keys: Any) -> str:
    """The document with these keys of the curve P-256 by their ids."""
    listed = [
        {"kid": name, **ECAlgorithm.to_jwk(key.public_key(), as_dict=True)}
        for name, key in keys.items()
    ]
    return json.dumps({"keys": listed})


@dataclass
class KeyServer:
    """Serves a key set while its gate is open, and counts how often it was asked."""

    url: str = ""
    document: str = ""
    status: int = 200
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.method == "GET"
        self.asked += 1
        await self.gate.wait()
        if self.status == 302:
            raise web.HTTPFound("https://evil.example/")
        return web.Response(text=self.document, status=self.status)


@asynccontextmanager
async def key_server() -> AsyncGenerator[KeyServer]:
    served = KeyServer(document=key_set(a=KEY))
    served.gate.set()
    runner = web.ServerRunner(web.Server(served.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        yield served
    finally:
        served.gate.set()
        await runner.cleanup()
