"""Why requests are rejected, and the responses: problem documents (RFC 9457).

The token endpoint has its own format (RFC 6749).
"""

from dataclasses import dataclass, replace
from http import HTTPStatus

import orjson
from aiohttp import web

from ringback.contract.event import InvalidEvent
from ringback.contract.problems import problem_type

CONTENT_TYPE = "application/problem+json"

RETRY_AFTER_S = 2

ENCODINGS = "gzip, deflate"
"""The content encodings that `http.body` decompresses."""


KEYS_UNAVAILABLE = "keys_unavailable"
WRONG_CLIENT = "wrong_client"
WRONG_TOKEN_REQUEST = "wrong_token_request"  # ruff: ignore[hardcoded-password-string]  # a label


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request is not accepted.

    `reason` is for logs and metrics. `detail` is what the sender sees; it reveals nothing internal.
    `headers` are those that the status requires. If the endpoint refused its sender, `checks` has
    the reasons, for logs only. `error` is the name that RFC 6749 has for it, if a token is refused.
    `shown_reason` is for the sender, if it must not know `reason`.
    """

    status: HTTPStatus
    reason: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    endpoint_id: str = ""
    checks: tuple[str, ...] = ()
    error: str = ""
    shown_reason: str = ""

    @property
    def content_type(self) -> str:
        return "application/json" if self.error else CONTENT_TYPE

    def body(self) -> bytes:
        if self.error:
            return orjson.dumps({"error": self.error, "error_description": self.detail})
        return orjson.dumps(
            {
                "type": problem_type(self.shown_reason or self.reason),
                "title": self.status.phrase,
                "status": self.status.value,
                "detail": self.detail,
            }
        )


def _unavailable(reason: str, detail: str) -> Rejection:
    """A 503: the sender may try again after `Retry-After`."""
    return Rejection(
        HTTPStatus.SERVICE_UNAVAILABLE, reason, detail, (("Retry-After", str(RETRY_AFTER_S)),)
    )


def unauthenticated(reason: str, endpoint_id: str, checks: tuple[str, ...] = ()) -> Rejection:
    """The sender gets the same text, whichever check failed; only logs name it.

    If the keys of an OAuth2 server cannot be fetched, the sender may try again.
    """
    if reason == KEYS_UNAVAILABLE:
        detail = "Senders cannot be checked now. Try again later."
        return replace(_unavailable(reason, detail), endpoint_id=endpoint_id, checks=checks)
    return Rejection(
        HTTPStatus.UNAUTHORIZED,
        reason,
        "The request does not prove that its sender may use this endpoint.",
        (("WWW-Authenticate", 'Bearer realm="ringback"'),),
        endpoint_id,
        checks,
        shown_reason="unauthenticated",
    )


def forbidden(reason: str, endpoint_id: str, detail: str, *checks: str) -> Rejection:
    return Rejection(HTTPStatus.FORBIDDEN, reason, detail, (), endpoint_id, checks)


_NO_STORE = ("Cache-Control", "no-store")


def client_refused(check: str) -> Rejection:
    return Rejection(
        HTTPStatus.UNAUTHORIZED,
        WRONG_CLIENT,
        "The client id or the client secret is wrong.",
        (("WWW-Authenticate", 'Basic realm="ringback"'), _NO_STORE),
        checks=(check,),
        error="invalid_client",
    )


def token_refused(error: str, detail: str) -> Rejection:
    return Rejection(HTTPStatus.BAD_REQUEST, WRONG_TOKEN_REQUEST, detail, (_NO_STORE,), error=error)


def endpoint_disabled(endpoint_id: str) -> Rejection:
    return forbidden("endpoint_disabled", endpoint_id, "This endpoint is disabled.")


def event_type_not_allowed(endpoint_id: str, event_type: str) -> Rejection:
    return forbidden(
        "event_type_not_allowed",
        endpoint_id,
        "This endpoint does not accept this type of event.",
        f"event_types does not list {event_type[:64]}",
    )


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


def wrong_network(endpoint_id: str, address: object) -> Rejection:
    check = f"{address or 'an unknown address'} is in none of its networks"
    detail = "This sender may not use this endpoint."
    hidden = forbidden("wrong_network", endpoint_id, detail, check)
    return replace(hidden, shown_reason="sender_not_allowed")


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
    return replace(NOT_STORED, reason=reason, shown_reason=NOT_STORED.reason)


SERVER = ("Server", "ringback")
"""Replaces aiohttp's header, which has its version and Python's."""


def problem_response(rejection: Rejection, *, close: bool) -> web.Response:
    response = web.Response(
        status=rejection.status,
        body=rejection.body(),
        headers=[*rejection.headers, ("Content-Type", rejection.content_type), SERVER],
    )
    if close:
        response.force_close()
    return response


def raw_response(rejection: Rejection) -> bytes:
    """The same as bytes, for a connection without a request to respond to."""
    body = rejection.body()
    headers = [
        *rejection.headers,
        ("Content-Type", rejection.content_type),
        SERVER,
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    lines = [f"HTTP/1.1 {rejection.status.value} {rejection.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
