"""The REST server in front of methods that a test defines: requests, answers, errors."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from google.protobuf.message import Message

from ringback.local.ports import free_ports
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.call import Call
from tests.integration.metrics.rest_client import RestClient, rest_client, served, server
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
    assert len(document["paths"]) == 27


async def test_a_page_shows_the_description(client: RestClient) -> None:
    """It needs no token, and everything that it loads is here."""
    async with client.session.get(client.url("/docs")) as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    needed = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(needed) == 4
    for address in needed:
        async with client.session.get(client.url(f"/{address}")) as answer:
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            if address.endswith("start.js"):
                assert 'url: "openapi.json"' in await answer.text()

    allowed = {source for rule in policy.split("; ") for source in rule.split()[1:]}
    assert allowed == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert "script-src 'self';" in policy


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
