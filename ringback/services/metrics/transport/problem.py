"""Converts errors to RFC 9457 problems for REST, with details that programs branch on."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc

from ringback.contract.problems import problem_type
from ringback.services.metrics.transport.errors import ApiError, Reason

CONTENT_TYPE = "application/problem+json"

_RETRY_AFTER_S = 2

#: The mapping of google.rpc.Code; all others are 500.
_STATUSES: Mapping[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


@dataclass(eq=False, kw_only=True)
class HttpError(ApiError):
    """An error that exists only in HTTP, with its own status and the headers it needs."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...] = ()


def status_of(error: ApiError) -> HTTPStatus:
    if isinstance(error, HttpError):
        return error.status
    return _STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def headers_of(error: ApiError) -> tuple[tuple[str, str], ...]:
    """The headers that the status of the error needs."""
    if isinstance(error, HttpError):
        return error.headers
    match status_of(error):
        case HTTPStatus.UNAUTHORIZED:
            return (("WWW-Authenticate", 'Bearer realm="ringback"'),)
        case HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.TOO_MANY_REQUESTS:
            return (("Retry-After", str(_RETRY_AFTER_S)),)
        case _:
            return ()


def problem(error: ApiError) -> dict[str, Any]:
    """The document, as values for orjson. Every member is always present."""
    status = status_of(error)
    return {
        "type": problem_type(error.reason),
        "title": status.phrase,
        "status": status.value,
        "detail": error.message,
        "code": error.code.name,
        "reason": error.reason,
        "metadata": dict(error.metadata),
        "violations": [
            {"field": violation.field, "description": violation.description}
            for violation in error.violations
        ],
        "resource": error.resource and {"type": error.resource.type, "name": error.resource.name},
    }


NO_SUCH_PATH = HttpError(
    grpc.StatusCode.NOT_FOUND,
    Reason.NO_SUCH_PATH,
    "Unknown path. /docs and /openapi.json list all paths.",
    status=HTTPStatus.NOT_FOUND,
)
BAD_HTTP = HttpError(
    grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BAD_HTTP,
    "The request is not valid HTTP, or its headers are too long.",
    status=HTTPStatus.BAD_REQUEST,
)
BROKEN_BODY = HttpError(
    grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BROKEN_BODY,
    "The body is incomplete, or its encoding is invalid.",
    status=HTTPStatus.BAD_REQUEST,
)
BODY_TOO_LARGE = HttpError(
    grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BODY_TOO_LARGE,
    "The body is larger than 1 MiB.",
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)
TOO_MANY_CALLS = HttpError(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_CALLS,
    "Too many calls in flight; retry in a moment.",
    status=HTTPStatus.TOO_MANY_REQUESTS,
    headers=(("Retry-After", str(_RETRY_AFTER_S)),),
)
WRONG_CONTENT_TYPE = HttpError(
    grpc.StatusCode.INVALID_ARGUMENT,
    Reason.WRONG_CONTENT_TYPE,
    "Send the body as JSON, with Content-Type: application/json.",
    status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def wrong_verb(allowed: tuple[str, ...]) -> HttpError:
    return HttpError(
        grpc.StatusCode.UNIMPLEMENTED,
        Reason.METHOD_NOT_ALLOWED,
        f"This path allows {' or '.join(allowed)}.",
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        headers=(("Allow", ", ".join(allowed)),),
    )
