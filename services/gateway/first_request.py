"""Finds a good request in bytes that aiohttp's parser refuses as a whole."""

import re

_HARMLESS = frozenset(
    {
        *(b"content-type", b"user-agent", b"server", b"etag"),
        *(b"content-location", b"content-range", b"max-forwards"),
    }
)
"""Headers that the parser wants once, and that have no part in where a request ends."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)


def first_request(data: bytes) -> tuple[bytes, bool] | None:
    """The first request, without headers that a proxy wrote twice, and whether more followed it.

    `data` begins where a request begins. What is invalid in itself stays so. None where this finds
    nothing to leave out.
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
