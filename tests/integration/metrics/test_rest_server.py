"""The REST server in front of methods that a test defines: requests, answers, streams, errors."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from google.protobuf.message import Message

from ringback.local.ports import free_ports
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.runtime.process.lifecycle import CannotStartError
from services.metrics.transport.call import Call
from services.metrics.transport.errors import unavailable
from tests.integration.metrics.rest_client import API, RestClient, rest_client, served, server
from tests.support.eventually import eventually
from tests.unit.metrics.transport.scripted_api import ScriptedApi

JOB = "01a20b54-1b02-767a-ab54-12005e7ca84e"
MIB = 1024 * 1024


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def client(api: ScriptedApi) -> AsyncIterator[RestClient]:
    async with served(api) as client:
        yield client


async def test_answers_are_json_and_not_cached(client: RestClient) -> None:
    """It may contain callers' words: no cache stores it, and no browser guesses its type."""
    good = await client.ask("GET", "/queue-health")
    bad = await client.ask("GET", "/nothing")

    assert good.headers["Content-Type"] == "application/json"
    assert bad.headers["Content-Type"] == "application/problem+json"
    for answer in (good, bad):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "ringback"


async def test_head_is_get_without_the_answer(client: RestClient) -> None:
    """As HTTP has it."""
    answer = await client.ask("HEAD", "/queue-health")

    assert (answer.status, answer.text) == (200, "")
    assert int(answer.headers["Content-Length"]) > 100


@pytest.mark.parametrize(
    ("verb", "path", "options", "status", "reason"),
    [
        ("GET", "/queue-health", {"token": None}, 401, "UNAUTHENTICATED"),
        # No caller learns what is wrong with a request before authentication.
        ("POST", "/processing:pause", {"token": None, "data": b"{"}, 401, "UNAUTHENTICATED"),
        ("GET", "/queue-health?color=red", {}, 400, "INVALID_REQUEST"),
        ("GET", f"/deliveries/{JOB}?jobId={JOB}", {}, 400, "INVALID_REQUEST"),
        ("GET", "/nothing", {"token": None}, 404, "NO_SUCH_PATH"),
        ("PUT", "/queue-health", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/processing:resume", {"json": []}, 400, "INVALID_REQUEST"),
        ("POST", "/processing:resume?reason=x", {}, 400, "INVALID_REQUEST"),
        ("POST", "/processing:resume", {"data": {"reason": "x"}}, 415, "WRONG_CONTENT_TYPE"),
        ("POST", "/processing:resume", {"data": BytesIO(bytes(MIB + 1))}, 413, "BODY_TOO_LARGE"),
        (
            "POST",
            "/processing:resume",
            {"data": b"{}", "headers": {"Content-Encoding": "gzip"}},
            400,
            "BROKEN_BODY",
        ),
        (
            "GET",
            "/queue-health",
            {"headers": {"X-Request-Timeout": "soon"}},
            400,
            "INVALID_REQUEST",
        ),
        ("GET", "/queue-health", {"headers": {"X-Request-Timeout": "-1"}}, 400, "INVALID_REQUEST"),
        ("GET", "/queue-health", {"headers": {"X-Request-Timeout": "nan"}}, 400, "INVALID_REQUEST"),
    ],
)
async def test_an_invalid_request_is_a_problem(
    api: ScriptedApi,
    client: RestClient,
    verb: str,
    path: str,
    options: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    """Each has its status and its reason, and reaches no method."""
    answer = await client.ask(verb, path, **options)

    assert (answer.status, answer.json["reason"]) == (status, reason)
    assert answer.json["status"] == status
    assert answer.json["detail"].endswith(".")
    assert api.calls == []
    needed = {401: "WWW-Authenticate", 405: "Allow"}.get(status)
    assert needed is None or needed in answer.headers


async def test_a_caller_may_set_a_timeout(api: ScriptedApi, client: RestClient) -> None:
    """The method is cancelled, and the caller gets a problem in time."""

    async def slow(_request: Any, call: Call) -> Message:
        assert 0 < call.remaining_s() <= 0.2
        return await asyncio.Future()

    api.on("GetQueueHealth", slow)

    answer = await client.ask("GET", "/queue-health", headers={"X-Request-Timeout": "0.2"})

    assert (answer.status, answer.json["reason"]) == (504, "DEADLINE_EXCEEDED")


async def test_a_caller_that_disconnects_ends_the_call(
    api: ScriptedApi, client: RestClient
) -> None:
    """No work continues without a caller."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless(_request: Any, _call: Call) -> Message:
        began.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    api.on("GetQueueHealth", endless)
    calling = asyncio.create_task(client.ask("GET", "/queue-health"))
    await began.wait()

    calling.cancel()

    await asyncio.wait_for(ended.wait(), 60)
    with suppress(asyncio.CancelledError):
        await calling
    await eventually(lambda: api.counted("GetQueueHealth", "CANCELLED") == 1)


async def test_invalid_http_gets_a_problem(client: RestClient) -> None:
    """Answers that aiohttp makes are problems, too, and repeat nothing of the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET / HTTP/1.1\r\nbad header secret\r\n\r\n")

    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert head.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert json.loads(body)["reason"] == "BAD_HTTP"
    assert b"secret" not in body


async def test_a_body_is_asked_for_only_when_it_is_wanted(client: RestClient) -> None:
    """A client that expects 100-continue gets it, or is refused immediately."""
    async with client.session.post(
        client.url("/api/webhook-metrics/processing:resume"),
        json={"reason": "x"},
        headers=client.headers(None, ""),
        expect100=True,
    ) as answer:
        assert answer.status == 200


async def test_the_description_needs_no_token(client: RestClient) -> None:
    """A caller without a token reads how to use one."""
    async with client.session.get(client.url("/openapi.json")) as answer:
        document = await answer.json()
    async with client.session.post(client.url("/openapi.json")) as rejected:
        assert (rejected.status, rejected.headers["Allow"]) == (405, "GET, HEAD")

    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) == 14


async def test_a_port_in_use_is_reported(api: ScriptedApi) -> None:
    """The sentence names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = server(api, taken.getsockname()[1])

        with pytest.raises(CannotStartError, match="RINGBACK_METRICS_REST_PORT"):
            async with second:
                pass


async def test_a_shutdown_finishes_calls_in_flight(api: ScriptedApi) -> None:
    """A running call gets its answer; a new one is refused."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Any, _call: Call) -> Message:
        began.set()
        await may_end.wait()
        return metrics.GetQueueHealthResponse(healthy=True)

    api.on("GetQueueHealth", slow)
    [port] = free_ports(1)
    async with rest_client(port) as client:
        async with server(api, port):
            calling = asyncio.create_task(client.ask("GET", "/queue-health"))
            await began.wait()
            asyncio.get_running_loop().call_later(0.2, may_end.set)

        answer = await calling
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.ask("GET", "/queue-health")

    assert answer.json["healthy"] is True


async def test_too_many_concurrent_calls_get_retry_after(api: ScriptedApi) -> None:
    """The first keeps its place; when it is done there is room."""
    may_end = asyncio.Event()

    async def slow(_request: Any, _call: Call) -> Message:
        await may_end.wait()
        return metrics.GetQueueHealthResponse()

    api.on("GetQueueHealth", slow)
    async with served(api, max_calls=1) as client:
        first = asyncio.create_task(client.ask("GET", "/queue-health"))
        await eventually(lambda: bool(api.calls))

        rejected = await client.ask("GET", "/delivery-stats")
        may_end.set()
        answered = await first
        later = await client.ask("GET", "/delivery-stats")

    assert (rejected.status, rejected.json["reason"]) == (429, "TOO_MANY_CALLS")
    assert rejected.headers["Retry-After"] == "2"
    assert (answered.status, later.status) == (200, 200)


WATCH = f"{API}/queue-health:watch"


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
        raise unavailable("BROKER_UNAVAILABLE", "The broker cannot be reached.")

    api.on("WatchQueueHealth", watch)

    answer = await client.ask("GET", "/queue-health:watch")

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.status == 200
    assert lines[0] == {"health": None}
    assert lines[1]["error"]["reason"] == "BROKER_UNAVAILABLE"
    assert lines[1]["error"]["status"] == 503


async def test_no_answer_at_all_is_an_empty_stream(api: ScriptedApi, client: RestClient) -> None:
    """An empty stream is no error."""

    async def watch(_request: Any, _call: Call) -> AsyncGenerator[Message, None]:
        await asyncio.sleep(0)
        nothing: tuple[Message, ...] = ()
        for one in nothing:
            yield one

    api.on("WatchQueueHealth", watch)

    answer = await client.ask("GET", "/queue-health:watch")

    assert (answer.status, answer.text) == (200, "")


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
