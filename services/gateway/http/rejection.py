"""Every response other than 200, as a problem document (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson
from aiohttp import web

from ringback.contract.event import InvalidEvent

CONTENT_TYPE = "application/problem+json"

RETRY_AFTER_S = 2

ENCODINGS = "gzip, deflate"
"""The content encodings that `http.body` decompresses."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request is not accepted.

    `reason` is for logs and metrics. `detail` is what the sender sees; it reveals nothing internal.
    `headers` are those that the status requires.
    """

    status: HTTPStatus
    reason: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        return orjson.dumps(
            {
                "type": "about:blank",
                "title": self.status.phrase,
                "status": self.status.value,
                "detail": self.detail,
            }
        )


def _unavailable(reason: str, detail: str) -> Rejection:
    return Rejection(
        HTTPStatus.SERVICE_UNAVAILABLE, reason, detail, (("Retry-After", str(RETRY_AFTER_S)),)
    )


def _unauthorized(reason: str, detail: str) -> Rejection:
    challenge = ("WWW-Authenticate", 'Bearer realm="ringback"')
    return Rejection(HTTPStatus.UNAUTHORIZED, reason, detail, (challenge,))


TOO_LARGE = Rejection(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_large",
    "The body is larger than this service accepts.",
)
NOT_FOUND = Rejection(HTTPStatus.NOT_FOUND, "not_found", "There is no such endpoint.")
WRONG_METHOD = Rejection(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "wrong_method",
    "Send webhooks with POST.",
    (("Allow", "POST"),),
)
NO_SECRET = _unauthorized(
    "no_secret", "The request has neither X-Vapi-Secret nor Authorization: Bearer with a value."
)
WRONG_SECRET = _unauthorized("wrong_secret", "The secret is not valid for this endpoint.")
WRONG_CONTENT_TYPE = Rejection(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "wrong_content_type",
    "The body is not JSON, and neither is its content type.",
)
WRONG_CONTENT_ENCODING = Rejection(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "wrong_content_encoding",
    f"The body is not JSON, and its content encoding is not supported ({ENCODINGS}).",
)
TOO_SLOW = Rejection(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The body did not arrive in time.")
HEAD_TOO_SLOW = Rejection(
    HTTPStatus.REQUEST_TIMEOUT,
    "head_too_slow",
    "The headers of the request did not arrive in time.",
)
HEAD_TOO_LARGE = Rejection(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The request has more than 32 KiB of headers, or more than 200 headers.",
)
BROKEN_BODY = Rejection(
    HTTPStatus.BAD_REQUEST, "broken_body", "The body is incomplete, or its encoding is invalid."
)
BAD_HTTP = Rejection(HTTPStatus.BAD_REQUEST, "bad_http", "The request is not valid HTTP.")
BUSY = _unavailable("busy", "Too many requests in flight. Try again later.")
NOT_STORED = _unavailable("not_stored", "The webhook could not be stored. Try again later.")
INTERNAL_ERROR = Rejection(
    HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Internal error; it was logged."
)


def invalid_event(error: InvalidEvent) -> Rejection:
    return Rejection(HTTPStatus.BAD_REQUEST, error.name.lower(), error.value)


def not_stored(reason: str) -> Rejection:
    """The sender gets the same text for every storage error; only logs name the reason."""
    return _unavailable(reason, NOT_STORED.detail)


SERVER = ("Server", "ringback")
"""Replaces aiohttp's header, which has its version and Python's."""


def problem_response(rejection: Rejection, *, close: bool) -> web.Response:
    response = web.Response(
        status=rejection.status,
        body=rejection.body(),
        headers=[*rejection.headers, ("Content-Type", CONTENT_TYPE), SERVER],
    )
    if close:
        response.force_close()
    return response


def raw_response(rejection: Rejection) -> bytes:
    """The same as bytes, for a connection without a request to respond to."""
    body = rejection.body()
    headers = [
        *rejection.headers,
        ("Content-Type", CONTENT_TYPE),
        SERVER,
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    lines = [f"HTTP/1.1 {rejection.status.value} {rejection.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
