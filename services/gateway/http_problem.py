"""Refusals as HTTP responses."""

from aiohttp import web

from services.gateway.refusal import CONTENT_TYPE, Refusal

SERVER = ("Server", "ringback")
"""Without it aiohttp would tell its version, and Python's."""


def problem(refused: Refusal, *, close: bool) -> web.Response:
    response = web.Response(
        status=refused.status,
        body=refused.body(),
        headers=[*refused.headers, ("Content-Type", CONTENT_TYPE), SERVER],
    )
    if close:
        response.force_close()
    return response


def raw_problem(refused: Refusal) -> bytes:
    """The same, for a connection on which no request has come."""
    body = refused.body()
    headers = [
        *refused.headers,
        ("Content-Type", CONTENT_TYPE),
        SERVER,
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    lines = [f"HTTP/1.1 {refused.status.value} {refused.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
