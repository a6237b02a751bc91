"""No request gets a 500; each rejection is a problem document with its reason."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.gateway_client import PATH, SECRET, assert_problem
from tests.unit.gateway.serving import HANG, START, ServedGateway, serving

MIB = 1024 * 1024
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        # Other content types than JSON, unless the body is an event.
        (b"type=hang&call=1", FORM, 415, "content type"),
        (b"\x80\x81", BINARY, 415, "content type"),
        (b'\x1e{"type":"x"}\n', {"Content-Type": "application/json-seq"}, 415, "content type"),
        # A wrong Content-Encoding is the sender's error.
        (b"\x1f\x8b garbage", {"Content-Encoding": "gzip"}, 400, "encoding"),
        (b"\x8b\x07\x80", {"Content-Encoding": "br"}, 415, "encoding"),
        # Without the secret, whatever the body is.
        (b"not read", {"X-Vapi-Secret": None}, 401, "does not prove"),
        (b"not read", {"X-Vapi-Secret": SECRET[:-1]}, 401, "does not prove"),
        (b"", {"Authorization": "Bearer ключ", "X-Vapi-Secret": ""}, 401, "does not prove"),
        # What is not an event.
        (b"", {}, 400, "not a JSON document"),
        (b'{"type": "x", "y": NaN}', {}, 400, "not a JSON document"),
        (b'[{"type": "x"},{"type": "y"}]', {}, 400, "not a JSON object"),
        (b'{"message": {}}', {}, 400, "no message.type"),
        (b'{"message": {"type": 7}}', {}, 400, "not a string"),
        (json.dumps({"type": "x" * 256}).encode(), {}, 400, "longer than 255"),
        (b'{"type":"x","y":' + b"[" * 300 + b"]" * 300 + b"}", {}, 400, "nested too deeply"),
    ],
)
async def test_a_rejection_names_its_reason(
    gateway: ServedGateway, body: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """A request without the secret learns the scheme."""
    answer = await gateway.send(body, headers=headers)

    assert_problem(answer, status, detail)
    assert answer.headers.get("WWW-Authenticate", "").startswith("Bearer") == (status == 401)


async def test_rejects_other_paths_and_methods(gateway: ServedGateway) -> None:
    """With 404, whatever the secret, or with 405 and the allowed method."""
    below = (PATH + "/unknown", PATH + "%00", PATH.upper())
    for path in ("/", "/api/webhooks", "/%ff", "/metrics", *below):
        assert_problem(await gateway.send(HANG, path=path), 404, "no such endpoint")
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"):
        answer = await gateway.send(method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def first_answer(gateway: ServedGateway, data: str) -> bytes:
    """The problem document, without waiting until the gateway has given up on the rest."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(data.encode())
    answer = await reader.readuntil(b"}")
    writer.close()
    return answer


@pytest.mark.parametrize("path", [PATH, "/elsewhere"])
async def test_rejects_an_announced_size_first(gateway: ServedGateway, path: str) -> None:
    """9 MiB are rejected before the secret, the path or the body is checked."""
    start = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MIB}\r\n"

    answer = await first_answer(gateway, start + "Expect: 100-continue\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def in_chunks() -> AsyncIterator[bytes]:
    for _ in range(9 * 16):
        await asyncio.sleep(0)
        yield b"x" * (MIB // 16)


@pytest.mark.parametrize("body", [lambda: io.BytesIO(b"x" * 9 * MIB), in_chunks])
async def test_rejects_nine_mebibytes(gateway: ServedGateway, body: Any) -> None:
    """A sender that sends them all at once, or in chunks, sees the 413."""
    assert_problem(await gateway.send(body()), 413, "larger")


async def test_does_not_wait_long_for_a_slow_body() -> None:
    """It gets 408, and the connection is closed."""
    head = f"{START}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"

    async with serving(body_timeout_s="0.2") as gateway:
        answer = await first_answer(gateway, head)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"connection: close" in answer.lower()


async def test_invalid_http_gets_a_problem(gateway: ServedGateway) -> None:
    """The errors of aiohttp have the same form, and repeat nothing of the request."""
    answer = await gateway.send_raw(b"<script>alert(1)</script>\r\n\r\n")

    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"application/problem+json" in answer
    assert b"script" not in answer
