"""Connections without a request do not block other callers."""

import asyncio
from pathlib import Path

import aiohttp

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp import topology
from ringback.runtime.http.connection_limits import UNTRUSTED_IDLE_S, ConnectionLimits
from tests.integration.metrics.metrics_process import metrics_process
from tests.integration.metrics.rest_client import API, served
from tests.support.eventually import eventually
from tests.unit.metrics.transport.scripted_api import ScriptedApi

_BEGUN = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def _hold(port: int, count: int) -> list[asyncio.StreamWriter]:
    """Begin this many requests, and finish none."""
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_BEGUN)
        writers.append(writer)
    return writers


async def test_one_that_is_slow_is_cut() -> None:
    """A head that does not arrive in time closes its connection."""
    now_s = 100.0
    limits = ConnectionLimits(5, on_close=lambda _: None, clock=lambda: now_s)
    async with served(ScriptedApi(), connections=limits) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(_BEGUN)
        await eventually(lambda: limits.count)
        now_s += UNTRUSTED_IDLE_S + 1

        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


async def test_more_of_them_than_it_may_have_files(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """On each of its ports. Calls, probes and the way to the database have files all the same."""
    await topology.apply(amqp_url, RetrySchedule.parse("2s,4s,8s"))
    async with (
        metrics_process(
            tmp_path, "prlimit", "--nofile=300:300", amqp_url=amqp_url, database_url=database_url
        ) as process,
        aiohttp.ClientSession() as session,
    ):
        await eventually(process.is_ready, deadline_s=60)
        held = []
        for port in (process.rest_port, process.observability_port, process.grpc_port):
            held += await _hold(port, 350)

        async def answers(port: int, path: str, status: int) -> bool:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status == status

        await eventually(lambda: answers(process.observability_port, "/readyz", 200))
        assert await answers(process.rest_port, f"{API}/deliveries", 401)
        for writer in held:
            writer.close()
