"""Limits and repairs of a request's head: its request line and headers."""

import asyncio
import re

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, _ErrInfo  # ruff: ignore[import-private-name]

from ringback.runtime.http.connection_limits import MAX_HEAD_BYTES

InvalidRequest = _ErrInfo
"""What aiohttp queues instead of an invalid request, so that responses keep their order."""

MAX_HEADERS = 200

_TOO_MANY_HEADERS = "Too many headers received"


def head_size(message: RawRequestMessage) -> int:
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
    return len(f"{message.method} {message.path} HTTP/1.1\r\n\r\n") + fields


def oversized_head() -> tuple[InvalidRequest, StreamReader]:
    too_long = LineTooLong(b"", MAX_HEAD_BYTES)
    return InvalidRequest(status=too_long.code, exc=too_long, message=""), EMPTY_PAYLOAD


def is_too_large(error: BaseException | None) -> bool:
    return isinstance(error, LineTooLong) or (
        isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_HEADERS
    )


def request_parser(
    connection: web.RequestHandler, loop: asyncio.AbstractEventLoop, buffer_bytes: int
) -> HttpRequestParser:
    """Create a parser as aiohttp does. After an error a parser rejects all further input."""
    return HttpRequestParser(
        connection,
        loop,
        buffer_bytes,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEADERS,
        payload_exception=web.RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
    )


_HARMLESS = frozenset(
    {
        *(b"content-type", b"user-agent", b"server", b"etag"),
        *(b"content-location", b"content-range", b"max-forwards"),
    }
)
"""Headers that the parser allows once, and that do not affect where a request ends."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)


def extract_first_request(data: bytes) -> tuple[bytes, bool] | None:
    """The first request in `data` without duplicate harmless headers, and whether more follows it.

    aiohttp's parser rejects such data as a whole. A request that is invalid in other ways stays
    invalid. None if there is nothing to remove.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    names: set[bytes] = set()
    lines = []
    for line in head.split(b"\r\n"):
        name = line.partition(b":")[0].lower()
        if name not in names or name not in _HARMLESS:
            lines.append(line)
        names.add(name)
    length = _LENGTH.search(head)
    body = rest
    if _CHUNKED.search(head) is None:
        body = rest[: int(length[1])] if length else b""
    found = b"\r\n".join(lines) + end + body
    return None if found == data else (found, len(body) < len(rest))
