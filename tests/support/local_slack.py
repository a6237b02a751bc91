"""A local Slack server: accepts messages as Slack does, and answers as configured."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.block_kit import refusal

SECRET = "T0/B0/verysecret"
TOKEN = "xoxb-verysecret"
CHANNEL = "C012345"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: the status, and the word with which Slack explains it."""

    status: int
    word: str
    retry_after: str | None = None


HANGS = Said(0, "hangs")


@dataclass(slots=True)
class LocalSlack:
    """`taken` are the messages that it took, `tries` counts what came. `answers` come first."""

    url: str
    api_url: str
    taken: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0
    answers: deque[Said] = field(default_factory=deque)
    always: Said | None = None
    hold: asyncio.Event | None = None
    """Where it is set, a message that was taken is answered when this is."""

    def headlines(self) -> list[str]:
        return [message["text"] for message in self.taken]

    async def webhook(self, request: web.Request) -> web.Response:
        said = await self._said(await request.json())
        return web.Response(status=said.status, text=said.word, headers=_headers(said))

    async def post_message(self, request: web.Request) -> web.Response:
        message = await request.json()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if message["channel"] != CHANNEL:
            return web.json_response({"ok": False, "error": "channel_not_found"})
        # It comes as JSON within JSON, or as a list.
        blocks = message.get("blocks", [])
        message["blocks"] = json.loads(blocks) if isinstance(blocks, str) else blocks
        said = await self._said(message)
        body = {"ok": True} if said.word == "ok" else {"ok": False, "error": said.word}
        return web.json_response(body, status=said.status, headers=_headers(said))

    async def _said(self, message: dict[str, Any]) -> Said:
        self.tries += 1
        said = self.answers.popleft() if self.answers else self.always
        if said is HANGS:
            await asyncio.Event().wait()
        if said is not None:
            return said
        reason = refusal(message)
        if reason:
            return Said(400, reason)
        self.taken.append(message)
        if self.hold is not None:
            await self.hold.wait()
        return Said(200, "ok")


@asynccontextmanager
async def local_slack() -> AsyncGenerator[LocalSlack, None]:
    """One that listens until the context is left."""
    slack = LocalSlack("", "")
    app = web.Application(handler_args={"shutdown_timeout": 0.1})
    app.router.add_post(f"/services/{SECRET}", slack.webhook)
    app.router.add_post("/api/chat.postMessage", slack.post_message)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    slack.url = str(server.make_url(f"/services/{SECRET}"))
    slack.api_url = str(server.make_url("/api/"))
    try:
        yield slack
    finally:
        await server.close()


def _headers(said: Said) -> dict[str, str]:
    return {} if said.retry_after is None else {"Retry-After": said.retry_after}
