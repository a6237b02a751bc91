"""Connections that senders keep open between webhooks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.support.gateway_client import PATH, SECRET

BODY = b'{"type":"hang"}'
GOOD = (
    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def keep_alive(port: int, count: int) -> AsyncGenerator[list[Connection]]:
    """Idle connections that each had a webhook accepted."""
    opened = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection("127.0.0.1", port))
            assert await last_header(opened[-1]) is None
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def last_header(connection: Connection) -> str | None:
    """Send a webhook; return the Connection header of its 200 response."""
    reader, writer = connection
    writer.write(GOOD)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    await reader.readuntil(b"}")
    assert head.startswith("HTTP/1.1 200 "), head
    lines = [line.partition(": ") for line in head.lower().splitlines()]
    return next((value for name, _, value in lines if name == "connection"), None)
