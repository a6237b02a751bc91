"""How large the head of a request may be: its request line and its headers."""

import asyncio

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, _ErrInfo  # ruff: ignore[import-private-name]

from ringback.runtime.connections import LONGEST_HEAD_BYTES

InvalidHead = _ErrInfo
"""What aiohttp queues in the place of a request, so that it is refused in its turn."""

MAX_HEADERS = 200

_TOO_MANY_HEADERS = "Too many headers received"


def size_of(message: RawRequestMessage) -> int:
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
    return len(f"{message.method} {message.path} HTTP/1.1\r\n\r\n") + fields


def large_head() -> tuple[InvalidHead, StreamReader]:
    too_long = LineTooLong(b"", LONGEST_HEAD_BYTES)
    return InvalidHead(status=too_long.code, exc=too_long, message=""), EMPTY_PAYLOAD


def is_too_large(error: BaseException | None) -> bool:
    return isinstance(error, LineTooLong) or (
        isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_HEADERS
    )


def request_parser(
    connection: web.RequestHandler, loop: asyncio.AbstractEventLoop, buffer_bytes: int
) -> HttpRequestParser:
    """As aiohttp makes one for a connection; one that has refused something refuses all else."""
    return HttpRequestParser(
        connection,
        loop,
        buffer_bytes,
        max_line_size=LONGEST_HEAD_BYTES,
        max_field_size=LONGEST_HEAD_BYTES,
        max_headers=MAX_HEADERS,
        payload_exception=web.RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
    )
