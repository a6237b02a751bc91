"""The questions of the demo's call, and a small backend that answers them.

The local stack declares the endpoint `demo`, whose questions go to this backend while the demo
runs. At other times nobody listens there, and Vapi would get the fallback.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import orjson
from aiohttp import web
from rich.table import Table

from ringback import samples
from ringback.cli.demo.answers import answer_to
from ringback.cli.load.payload_template import sent_at_ms, template_of
from ringback.cli.terminal import CommandError
from ringback.local.console import printable
from ringback.local.ports import LOOPBACK
from ringback.local.stack_service import DEMO_ENDPOINT

QUESTIONS = ("assistant-request", "tool-calls")
_NOT_FOUND = 404
_TIMEOUT_S = 30.0
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    event_type: str
    shows: str
    status: int
    answer: bytes
    took_ms: float

    @property
    def is_useful(self) -> bool:
        return self.status == web.HTTPOk.status_code


@asynccontextmanager
async def answering_backend(port: int) -> AsyncGenerator[None, None]:
    """Answer questions while entered. Raises CommandError if the port is in use."""

    async def answer(request: web.BaseRequest) -> web.Response:
        body = orjson.dumps(answer_to(await request.read()))
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield
    except OSError as exc:
        raise CommandError(
            f"Port {port} of the demo's backend cannot be used: {exc.strerror}. Choose another "
            "with RINGBACK_LOCAL_ANSWERS_PORT, for `make run` too."
        ) from exc
    finally:
        await runner.cleanup()


async def ask(
    gateway_url: str, headers: dict[str, str], *, run: str, port: int
) -> list[AnsweredQuestion] | None:
    """Ask the questions of a call, and one more without the backend; None without the endpoint."""
    url = f"{gateway_url.rstrip('/')}/{DEMO_ENDPOINT}"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        async with answering_backend(port):
            answered = [
                await _ask(session, url, name, run, "answered by the backend") for name in QUESTIONS
            ]
        answered.append(await _ask(session, url, QUESTIONS[0], run[::-1], "the backend is gone"))
    return None if any(one.status == _NOT_FOUND for one in answered) else answered


async def _ask(
    session: aiohttp.ClientSession, url: str, name: str, run: str, shows: str
) -> AnsweredQuestion:
    sample = samples.sample(name)
    body = template_of(sample).copy(0, run=run, start_ms=sent_at_ms(sample))
    started_at = time.perf_counter()
    try:
        async with session.post(url, data=body) as got:
            answer = await got.read()
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise CommandError(
            f"A question of the demo got no answer from {url}: {printable(str(exc))}."
        ) from exc
    took_ms = (time.perf_counter() - started_at) * 1000
    return AnsweredQuestion(name, shows, got.status, answer, took_ms)


def questions_table(answered: Sequence[AnsweredQuestion]) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", title="Questions"
    )
    table.title_justify, table.title_style = "left", "bold"
    for name in ("event type", "scenario", "took"):
        table.add_column(name, no_wrap=True)
    table.add_column("what Vapi gets", overflow="fold")
    for one in answered:
        text = printable(one.answer.decode(errors="replace"))
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
        table.add_row(one.event_type, one.shows, f"{one.took_ms:.0f} ms", shown)
    return table
