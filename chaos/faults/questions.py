"""The backend that answers questions dies while questions and events arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson

from chaos.fault import Fault, Part
from chaos.loopback_server import LoopbackServer
from chaos.stage import Stage
from ringback.local.stack_service import DEMO_ENDPOINT

_ANSWER = {"assistantId": "of-the-chaos-suite"}
_ANSWERS_AFTER_S = 0.2
_ASKED_EVERY_S = 0.05
_VAPI_WAITS_S = 7.5
_OK = 200
_ANSWERS = 20
_ANSWERED_WITHIN_S = 60.0
_DOWN_S = 5.0


class _Backend(LoopbackServer):
    """Answers each question after a moment, so that some wait for it when it dies."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await reader.readuntil(b"\r\n\r\n")
        lines = request.lower().split(b"\r\n")
        [length] = [line for line in lines if line.startswith(b"content-length:")]
        await reader.readexactly(int(length.split(b":")[1]))
        await asyncio.sleep(_ANSWERS_AFTER_S)
        body = orjson.dumps(_ANSWER)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        if not writer.is_closing():
            writer.write(head.encode() + b"\r\n\r\n" + body)
        return not writer.is_closing()


@dataclass(slots=True)
class _Asker:
    """Asks at an even rate until it is stopped, and counts the answers."""

    stage: Stage
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    backends: int = 0
    fallbacks: int = 0

    async def run(self) -> None:
        run = time.time_ns()
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=_VAPI_WAITS_S),
            ) as client,
            asyncio.TaskGroup() as questions,
        ):
            number = 0
            while not self.stop.is_set():
                questions.create_task(self._ask(client, f"asked-{run}-{number}"))
                number += 1
                await asyncio.sleep(_ASKED_EVERY_S)

    async def _ask(self, client: aiohttp.ClientSession, call_id: str) -> None:
        message = {"type": "assistant-request", "call": {"id": call_id}}
        url = f"{self.stage.url}/{DEMO_ENDPOINT}"
        try:
            async with client.post(url, data=orjson.dumps({"message": message})) as got:
                status, answer = got.status, orjson.loads(await got.read())
        except (aiohttp.ClientError, OSError) as exc:
            self._complain(f"A question got no answer: {type(exc).__name__}.")
            return
        if status == _OK and answer == _ANSWER:
            self.backends += 1
        elif status == _OK and "error" in answer:
            self.fallbacks += 1
        else:
            self._complain(f"A question got the status {status}.")

    def _complain(self, sentence: str) -> None:
        """Report each kind of wrong answer once: there may be hundreds."""
        if sentence not in self.stage.complaints:
            self.stage.complaints.append(sentence)

    async def until(self, is_enough: Callable[[], bool], missing: str) -> None:
        otherwise = f"There was no {missing}."
        await self.stage.until(is_enough, within_s=_ANSWERED_WITHIN_S, otherwise=otherwise)


@asynccontextmanager
async def _backend_killed(stage: Stage) -> AsyncGenerator[None, None]:
    """Every question gets an answer: the backend's, or the fallback while it is gone."""
    backend, asker = _Backend(stage.answers_port), _Asker(stage)
    await backend.start()
    asking = asyncio.create_task(asker.run())
    try:
        await asker.until(lambda: asker.backends >= _ANSWERS, "answer of the backend")
        backend.kill()
        yield
        await asker.until(lambda: asker.fallbacks >= _ANSWERS, "fallback")
        await backend.start()
        before = asker.backends
        await asker.until(
            lambda: asker.backends >= before + _ANSWERS, "answer of the backend after its return"
        )
    finally:
        asker.stop.set()
        await asking
        backend.kill()


FAULTS = (
    Fault(
        name="answering-backend-killed",
        sentence="The backend that answers questions dies while it is asked, and returns.",
        part=Part.CLIENTS,
        strike=_backend_killed,
        hold_s=_DOWN_S,
        is_mixed=False,
    ),
)
