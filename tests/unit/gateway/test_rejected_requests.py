"""No request gets a 500; each rejection is a problem document with its reason."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.gateway_client import PATH, SECRET, assert_problem
from tests.unit.gateway.serving import ServedGateway, serving

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"type=hang&call=1"),
        ("application/json-seq", b'\x1e{"type":"x"}\n\x1e{"type":"y"}\n'),
        ("application/octet-stream", b"\x80\x81"),
    ],
)
async def test_rejects_other_content_types(
    gateway: ServedGateway, content_type: str, body: bytes
) -> None:
    """Form data and the like get 415."""
    answer = await gateway.send(body, headers={"Content-Type": content_type})

    assert_problem(answer, 415, "content type")


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"X-Vapi-Secret": None}, "neither"),
        ({"X-Vapi-Secret": SECRET[:-1]}, "not valid for"),
        ({"Authorization": "Bearer ключ", "X-Vapi-Secret": ""}, "not valid for"),
    ],
)
async def test_rejects_requests_without_the_secret(
    gateway: ServedGateway, headers: dict[str, str], detail: str
) -> None:
    """With 401 and the scheme, whatever the body is."""
    answer = await gateway.send(b"not read", headers=headers)

    assert_problem(answer, 401, detail)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    ["/", PATH + "/unknown", "/api/webhooks", PATH + "%00", "/%ff", "/metrics", PATH.upper()],
)
async def test_rejects_other_paths(gateway: ServedGateway, path: str) -> None:
    """With 404, whatever the secret."""
    answer = await gateway.send(b'{"type": "x"}', path=path)

    assert_problem(answer, 404, "no such endpoint")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
async def test_rejects_other_methods(gateway: ServedGateway, method: str) -> None:
    """With 405 and the allowed method."""
    answer = await gateway.send(method=method)

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", [PATH, "/elsewhere"])
async def test_rejects_an_announced_size_first(gateway: ServedGateway, path: str) -> None:
    """9 MiB are rejected before the secret, the path or the body is checked."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MIB}\r\nConnection: close\r\n"

    answer = await gateway.send_raw(head.encode() + b"Expect: 100-continue\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_rejects_nine_mebibytes(gateway: ServedGateway) -> None:
    """A sender that sends them all at once sees the 413."""
    answer = await gateway.send(io.BytesIO(b"x" * 9 * MIB))

    assert_problem(answer, 413, "larger")


async def test_rejects_a_chunked_body_that_grows_too_large(gateway: ServedGateway) -> None:
    """As soon as it is too large."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9 * 16):
            await asyncio.sleep(0)
            yield b"x" * (MIB // 16)

    answer = await gateway.send(chunks())

    assert_problem(answer, 413, "larger")


async def test_rejects_an_invalid_compressed_body(gateway: ServedGateway) -> None:
    """A wrong Content-Encoding is the sender's error."""
    answer = await gateway.send(b"\x1f\x8b garbage", headers={"Content-Encoding": "gzip"})

    assert_problem(answer, 400, "encoding")


async def test_rejects_other_content_encodings(gateway: ServedGateway) -> None:
    """With 415."""
    answer = await gateway.send(b"\x8b\x07\x80", headers={"Content-Encoding": "br"})

    assert_problem(answer, 415, "encoding")


async def test_does_not_wait_long_for_a_slow_body() -> None:
    """It gets 408, and the connection is closed."""
    async with serving(body_timeout_s="0.2") as gateway:
        answer = await gateway.send_raw(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


async def test_invalid_http_gets_a_problem(gateway: ServedGateway) -> None:
    """The errors of aiohttp have the same form, and repeat nothing of the request."""
    answer = await gateway.send_raw(b"<script>alert(1)</script>\r\n\r\n")

    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"application/problem+json" in answer
    assert b"script" not in answer


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not a JSON document"),
        (b'{"type": "x", "y": NaN}', "not a JSON document"),
        (b'[{"type": "x"},{"type": "y"}]', "not a JSON object"),
        (b'{"message": {}}', "no message.type"),
        (b'{"message": {"type": 7}}', "not a text"),
        (json.dumps({"type": "x" * 256}).encode(), "longer than 255"),
        (b'{"type":"x","y":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
    ],
)
async def test_rejects_invalid_events(gateway: ServedGateway, body: bytes, detail: str) -> None:
    """With 400 and a reason."""
    answer = await gateway.send(body)

    assert_problem(answer, 400, detail)
