"""The REST server's streams: lines as they are made, errors in the last line, and ends."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from google.protobuf.message import Message

from ringback.local.ports import free_ports
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import Reason, unavailable
from tests.integration.metrics.rest_client import API, RestClient, rest_client, served, server
from tests.support.eventually import eventually
from tests.unit.metrics.transport.scripted_api import ScriptedApi

WATCH = f"{API}/queue-health:watch"


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def client(api: ScriptedApi) -> AsyncIterator[RestClient]:
    async with served(api) as client:
        yield client


def progress(retried: int) -> admin.RetryDeliveriesResponse:
    return admin.RetryDeliveriesResponse(
        state=admin.RETRY_RUN_STATE_RUNNING, matched=2**40, retried=retried
    )


async def test_a_line_comes_when_it_is_made(api: ScriptedApi, client: RestClient) -> None:
    """A reader sees the first before the second exists; each is one document on one line."""
    first_was_read = asyncio.Event()

    async def retry(_request: Any, _call: Call) -> AsyncGenerator[Message, None]:
        yield progress(1)
        await first_was_read.wait()
        yield progress(2)

    api.on("RetryDeliveries", retry)

    async with client.session.post(
        client.url(f"{API}/deliveries:retry"),
        json={"reason": "x"},
        headers=client.headers(None, ""),
    ) as answer:
        first = json.loads(await answer.content.readline())
        first_was_read.set()
        rest = [json.loads(line) async for line in answer.content]

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == "no-store"
    assert [line["retried"] for line in (first, *rest)] == [1, 2]
    assert (first["state"], first["matched"]) == ("running", 2**40)


async def test_an_error_after_the_first_line_is_the_last_line(
    api: ScriptedApi, client: RestClient
) -> None:
    """The status is already sent; the reader still learns that the stream is incomplete."""

    async def watch(_request: Any, _call: Call) -> AsyncGenerator[Message, None]:
        await asyncio.sleep(0)
        yield metrics.WatchQueueHealthResponse()
        raise unavailable(Reason.BROKER_UNAVAILABLE, "The broker cannot be reached.")

    api.on("WatchQueueHealth", watch)

    answer = await client.ask("GET", "/queue-health:watch")

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.status == 200
    assert lines[0] == {"health": None}
    assert lines[1]["error"]["reason"] == "BROKER_UNAVAILABLE"
    assert lines[1]["error"]["status"] == 503


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_reader_that_disconnects_ends_the_stream(
    api: ScriptedApi, client: RestClient, size: int
) -> None:
    """Whether the stream waits for its next line or for room to write it."""
    ended = asyncio.Event()

    async def watch(_request: Any, _call: Call) -> AsyncGenerator[Message, None]:
        try:
            while True:
                yield metrics.WatchQueueHealthResponse(
                    health=metrics.GetQueueHealthResponse(
                        checks=[metrics.HealthCheck(message="x" * size)]
                    )
                )
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    api.on("WatchQueueHealth", watch)

    async with client.session.get(client.url(WATCH), headers=client.headers(None, "")) as answer:
        await answer.content.readany()
        answer.close()

    await asyncio.wait_for(ended.wait(), 60)
    await eventually(lambda: api.counted("WatchQueueHealth", "CANCELLED") == 1)


async def test_a_stream_ends_when_the_service_stops(api: ScriptedApi) -> None:
    """Leaving waits for its last line, not for its reader."""

    async def watch(_request: Any, call: Call) -> AsyncGenerator[Message, None]:
        yield metrics.WatchQueueHealthResponse()
        await call.stopping.wait()

    api.on("WatchQueueHealth", watch)
    [port] = free_ports(1)
    async with rest_client(port) as client:
        async with server(api, port):
            reading = asyncio.create_task(client.ask("GET", "/queue-health:watch"))
            await eventually(lambda: bool(api.calls))
            api.stopping.set()

        answer = await reading

    assert (answer.status, answer.text) == (200, '{"health":null}\n')


async def test_a_stream_that_does_not_end_is_cut_when_the_service_stops(api: ScriptedApi) -> None:
    """After the time to drain; the reader sees that it was cut, and its method is closed."""
    ended = asyncio.Event()

    async def watch(_request: Any, _call: Call) -> AsyncGenerator[Message, None]:
        try:
            yield metrics.WatchQueueHealthResponse()
            await asyncio.Future()
        finally:
            ended.set()

    api.on("WatchQueueHealth", watch)
    [port] = free_ports(1)
    async with rest_client(port) as client:
        async with server(api, port, drain_timeout_s=0.2):
            reading = asyncio.create_task(client.ask("GET", "/queue-health:watch"))
            await eventually(lambda: bool(api.calls))

        with pytest.raises(aiohttp.ClientError):
            await reading

    assert ended.is_set()
