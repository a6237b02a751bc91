"""What the relay adds to the latency of a question, and what questions cost other webhooks.

    python -m benchmarks.questions --seconds 6 --rounds 2

A gateway asks a backend that answers at once, a Python function, and a backend that hangs. Times
start at the moment when the question was due. Prints a table in Markdown.
"""

import argparse
import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import Awaitable
from typing import cast
from uuid import UUID

import uvloop

from benchmarks import load, wrk
from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.bodies import QUESTION, USUAL_SIZE
from benchmarks.process_usage import cpu_by_part_s
from ringback.cli.load.load_generator import percentile
from ringback.handlers import Question, answers
from ringback.local.ports import LOOPBACK, free_ports

_PER_S = 200
_FEW_PER_S = 20
_CONNECTIONS = 64
_ANSWER = b'{"assistantId":"a"}'
_PARTS = {"answer_process": "functions", "ringback.services.gateway": "gateway"}
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@answers("assistant-request")
def answer(_: Question) -> dict[str, object]:
    return {"assistantId": "a"}


class Backend(asyncio.Protocol):
    """Answers each request at once, or never if its path is /hang. Requests arrive one by one."""

    def __init__(self) -> None:
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Those of uvloop are no subclass.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, separator, body = self._request.partition(b"\r\n\r\n")
        if separator and len(body) >= load.content_length(head):
            if b" /hang " not in head:
                self._transport.write(_HEAD % len(_ANSWER) + _ANSWER)
            self._request = b""


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, LOOPBACK, port)
    await server.serve_forever()


Figures = dict[str, list[tuple[float, float]]]
"""For each row of the table, two figures of each round."""


class Run:
    def __init__(self, stack: BenchStack, seconds: float, backend: str, gateway: str) -> None:
        self._stack = stack
        self._seconds = seconds
        self._backend = backend
        self._gateway = gateway
        self.latency: Figures = defaultdict(list)
        self.accepted: Figures = defaultdict(list)
        self.cpu_ms: list[float] = []

    async def round(self) -> None:
        await self._ask("backend, asked directly", self._backend + "ok")
        before_s = cpu_by_part_s(_PARTS)["gateway"]
        await self._ask("relay to a backend", self._gateway + "/quick")
        spent_s = cpu_by_part_s(_PARTS)["gateway"] - before_s
        self.cpu_ms.append(spent_s / _PER_S / self._seconds * 1000)
        await self._ask("relay to a Python function", self._gateway + "/function")
        hanging = self._question(self._gateway + "/hangs", _FEW_PER_S, self._seconds)
        beside = self._ask("relay to a backend, while another hangs", self._gateway + "/quick")
        await asyncio.gather(hanging, beside)
        await self._accept("no questions")
        await self._beside(f"{_FEW_PER_S} questions/s are answered", "/quick")
        await self._beside(f"{_FEW_PER_S} questions/s to a backend that hangs", "/hangs")

    async def _question(self, url: str, per_s: int, seconds: float) -> list[list[str]]:
        options = (f"--per-s={per_s}", f"--seconds={seconds}")
        return await load.run_client(self._stack.folder, url, QUESTION, *options)

    async def _ask(self, name: str, url: str) -> None:
        rows = await self._question(url, _PER_S, self._seconds)
        assert all(status == "200" for *_, status in rows), "Not each question got an answer."
        took_ms = [(float(end) - float(due)) * 1000 for _, due, end, _ in rows]
        self.latency[name].append((_percentile(took_ms, 50), _percentile(took_ms, 99)))

    async def _accept(self, name: str) -> None:
        got = await wrk.load(
            self._stack.folder, self._gateway, USUAL_SIZE, _CONNECTIONS, self._seconds
        )
        assert not got.refused
        assert not got.broken
        self.accepted[name].append((got.per_s, got.p99_ms))
        await self._stack.purge("webhooks")

    async def _beside(self, name: str, path: str) -> None:
        asking: Awaitable[object] = self._question(
            self._gateway + path, _FEW_PER_S, self._seconds + 2
        )
        task = asyncio.ensure_future(asking)
        await asyncio.sleep(1)
        await self._accept(name)
        await task


def _percentile(values: list[float], percent: float) -> float:
    found = percentile(values, percent)
    assert found is not None
    return found


def table(head: str, figures: Figures, digits: int) -> str:
    lines = [head, "|---|---|---|"]
    for name, rounds in figures.items():
        cells = [f"{statistics.median(one):,.{digits}f}" for one in zip(*rounds, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def measure(seconds: float, rounds: int) -> None:
    (port,) = free_ports(1)
    backend = f"http://{LOOPBACK}:{port}/"
    question = {
        "quick": {"url": backend + "ok"},
        "hangs": {"url": backend + "hang"},
        "function": {"handler": True},
    }
    endpoints: dict[str, object] = {
        name: {"org_id": str(UUID(int=number)), "questions": {"assistant-request": one}}
        for number, (name, one) in enumerate(question.items(), 1)
    }
    endpoints["default"] = {"org_id": str(UUID(int=9))}
    async with bench_stack() as stack:
        file = stack.folder / "endpoints.json"
        file.write_text(json.dumps({"endpoints": endpoints}))
        gateway = stack.gateway(
            RINGBACK_ALLOW_UNAUTHENTICATED="true",
            RINGBACK_ENDPOINTS_FILE=str(file),
            RINGBACK_OUTGOING_NETWORKS=f"{LOOPBACK}/32",
            RINGBACK_ANSWERS="benchmarks.questions",
            RINGBACK_SPOOL_DIR=str(stack.folder / "spool"),
        )
        async with (
            stack.process("benchmarks.questions", f"--serve={port}", ready_url=None),
            gateway as (_, url),
        ):
            run = Run(stack, seconds, backend, url)
            for _ in range(rounds):
                await run.round()
    print(table("| a question, 200/s | p50 ms | p99 ms |", run.latency, 1))
    print(f"CPU of the gateway for each: {statistics.median(run.cpu_ms):.2f} ms")
    print(table("| events, 64 connections | accepted/s | p99 ms |", run.accepted, 0))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.questions", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help="be the backend at this port")
    given = parser.parse_args()
    if given.serve:
        uvloop.run(serve(given.serve))
    else:
        uvloop.run(measure(given.seconds, given.rounds))


if __name__ == "__main__":
    main()
