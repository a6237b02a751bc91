"""No request gets a 500; each rejection is a problem document with its reason."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.running_gateway import (
    PATH,
    SECRET,
    RunningGateway,
    assert_problem,
    running,
    settings_for,
)
from tests.support.eventually import eventually

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"type=hang&call=1"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n{}\r\n--x--\r\n"),
        ("text/plain", b"hello"),
        ("application/xml", b"<type>hang</type>"),
        ("application/json-seq", b'\x1e{"type":"x"}\n\x1e{"type":"y"}\n'),
        ("application/octet-stream", b"\x80\x81"),
    ],
)
async def test_rejects_other_content_types(
    gateway: RunningGateway, content_type: str, body: bytes
) -> None:
    """Form data and the like get 415."""
    answer = await gateway.send(body, headers={"Content-Type": content_type})

    assert_problem(answer, 415, "content type")


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"X-Vapi-Secret": None}, "neither"),
        ({"X-Vapi-Secret": ""}, "neither"),
        ({"X-Vapi-Secret": "", "Authorization": "Basic eDp5"}, "neither"),
        ({"X-Vapi-Secret": "", "Authorization": "Bearer "}, "neither"),
        ({"X-Vapi-Secret": SECRET[:-1]}, "not valid for"),
        ({"X-Vapi-Secret": SECRET + "x"}, "not valid for"),
        ({"X-Vapi-Secret": "ключ"}, "not valid for"),
        ({"Authorization": "Bearer ключ", "X-Vapi-Secret": ""}, "not valid for"),
    ],
)
async def test_rejects_requests_without_the_secret(
    gateway: RunningGateway, headers: dict[str, str], detail: str
) -> None:
    """With 401 and the scheme, whatever the body is."""
    answer = await gateway.send(b"not read", headers=headers)

    assert_problem(answer, 401, detail)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    ["/", PATH + "/unknown", "/api/webhooks", PATH + "%00", "/%ff", "/metrics", PATH.upper()],
)
async def test_rejects_other_paths(gateway: RunningGateway, path: str) -> None:
    """With 404, whatever the secret."""
    answer = await gateway.send(b'{"type": "x"}', path=path)

    assert_problem(answer, 404, "no such endpoint")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
async def test_rejects_other_methods(gateway: RunningGateway, method: str) -> None:
    """With 405 and the allowed method."""
    answer = await gateway.send(method=method)

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", [PATH, "/elsewhere"])
async def test_rejects_an_announced_size_first(gateway: RunningGateway, path: str) -> None:
    """9 MiB are rejected before the secret, the path or the body is checked."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MIB}\r\nConnection: close\r\n"

    answer = await gateway.send_raw(head.encode() + b"Expect: 100-continue\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_rejects_nine_mebibytes(gateway: RunningGateway) -> None:
    """A sender that sends them all at once sees the 413."""
    answer = await gateway.send(io.BytesIO(b"x" * 9 * MIB))

    assert_problem(answer, 413, "larger")


async def test_rejects_a_chunked_body_that_grows_too_large(gateway: RunningGateway) -> None:
    """As soon as it is too large."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9 * 16):
            await asyncio.sleep(0)
            yield b"x" * (MIB // 16)

    answer = await gateway.send(chunks())

    assert_problem(answer, 413, "larger")


async def test_a_bomb_is_limited_by_its_real_size(gateway: RunningGateway) -> None:
    """The limit applies to the decompressed size."""
    bomb = gzip.compress(b"x" * 64 * MIB)

    answer = await gateway.send(bomb, headers={"Content-Encoding": "gzip"})

    assert_problem(answer, 413, "larger")


async def test_rejects_an_invalid_compressed_body(gateway: RunningGateway) -> None:
    """A wrong Content-Encoding is the sender's error."""
    answer = await gateway.send(b"\x1f\x8b garbage", headers={"Content-Encoding": "gzip"})

    assert_problem(answer, 400, "encoding")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "compress"])
async def test_rejects_other_content_encodings(gateway: RunningGateway, coding: str) -> None:
    """With 415."""
    answer = await gateway.send(b"\x8b\x07\x80", headers={"Content-Encoding": coding})

    assert_problem(answer, 415, "encoding")


async def test_accepts_a_compressed_body(gateway: RunningGateway) -> None:
    """It is decompressed first."""
    body = gzip.compress(b'{"type": "hang"}')

    answer = await gateway.send(body, headers={"Content-Encoding": "gzip"})

    assert answer.status == 200


async def test_does_not_wait_long_for_a_slow_body(ready_amqp_url: str, database_url: str) -> None:
    """It gets 408, and the connection is closed."""
    settings = settings_for(ready_amqp_url, database_url, body_timeout_s="0.2")

    async with running(settings) as gateway:
        answer = await gateway.send_raw(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


async def test_invalid_http_gets_a_problem(gateway: RunningGateway) -> None:
    """The errors of aiohttp have the same form, and repeat nothing of the request."""
    answer = await gateway.send_raw(b"<script>alert(1)</script>\r\n\r\n")

    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"application/problem+json" in answer
    assert b"script" not in answer


async def test_continues_when_asked(gateway: RunningGateway) -> None:
    """`Expect: 100-continue` is answered once the headers are accepted."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n"
    )

    answer = await gateway.send_raw(head.encode() + b'{"type":"hang"}')

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


async def test_a_rejection_is_counted_by_its_reason(gateway: RunningGateway) -> None:
    """In webhook_rejected_total."""
    await gateway.send(b"{")
    await gateway.send(b"{}", secret="wrong")

    assert await gateway.metric("webhook_rejected_total", reason="not_json") == 1
    assert await gateway.metric("webhook_rejected_total", reason="wrong_secret") == 1


async def test_too_many_bytes_in_flight_are_rejected(
    ready_amqp_url: str, database_url: str
) -> None:
    """With 503, until there is room again."""
    limits = {"max_body_bytes": "4096", "max_in_flight_bytes": "4096"}
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\nContent-Length: 4000\r\n"
    body = b'{"type":"hang","y":"' + b"x" * 3000 + b'"}'

    async with running(settings_for(ready_amqp_url, database_url, **limits)) as gateway:

        async def status_is(status: int) -> bool:
            return (await gateway.send(body)).status == status

        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head.encode() + b"\r\n{")
        await eventually(lambda: status_is(503))
        rejected = await gateway.send(body)
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: status_is(200))

    assert_problem(rejected, 503, "in flight")
    assert int(rejected.headers["Retry-After"]) > 0
