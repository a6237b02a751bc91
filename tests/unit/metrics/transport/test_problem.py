"""Errors as REST sends them."""

from uuid import UUID

import grpc
import orjson
import pytest

from ringback.services.metrics.transport import problem
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    Resource,
    Violation,
    already_retried,
    deadline_exceeded,
    internal,
    invalid,
    no_such_delivery,
    permission_denied,
    precondition,
    unauthenticated,
    unavailable,
)
from ringback.services.metrics.transport.problem import (
    TOO_MANY_CALLS,
    headers_of,
    status_of,
    wrong_verb,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (invalid(Violation("limit", "`limit` is wrong.")), 400),
        (precondition(Reason.DISCARDED, "It was discarded.", UUID(int=1)), 400),
        (unauthenticated("No."), 401),
        (permission_denied("No."), 403),
        (no_such_delivery("0190"), 404),
        (TOO_MANY_CALLS, 429),
        (already_retried(UUID(int=1), UUID(int=2)), 409),
        (internal(), 500),
        (unavailable(Reason.DATABASE_UNAVAILABLE, "Later."), 503),
        (deadline_exceeded(), 504),
    ],
    ids=lambda value: value.reason if isinstance(value, ApiError) else str(value),
)
def test_a_code_of_grpc_has_a_status(error: ApiError, status: int) -> None:
    """As google.rpc.Code maps them."""
    assert status_of(error) == status


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_code_has_a_status_that_is_an_error(code: grpc.StatusCode) -> None:
    """No error has a status of success."""
    assert status_of(ApiError(code, Reason.INTERNAL, "Sentence.")) >= 400


def test_a_problem_contains_the_whole_error() -> None:
    """The details of gRPC appear as members here."""
    error = ApiError(
        grpc.StatusCode.ALREADY_EXISTS,
        Reason.ALREADY_RETRIED,
        "The webhook was retried already.",
        metadata={"newJobId": "0191"},
        violations=(Violation("job_id", "`job_id` is retried."),),
        resource=Resource("delivery", "0190"),
    )

    document = orjson.loads(orjson.dumps(problem.problem(error)))

    assert document == {
        "type": "https://github.com/ringback/ringback/blob/main/docs/problems.md#already_retried",
        "title": "Conflict",
        "status": 409,
        "detail": "The webhook was retried already.",
        "code": "ALREADY_EXISTS",
        "reason": "ALREADY_RETRIED",
        "metadata": {"newJobId": "0191"},
        "violations": [{"field": "job_id", "description": "`job_id` is retried."}],
        "resource": {"type": "delivery", "name": "0190"},
    }


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (unauthenticated("No."), ("WWW-Authenticate", 'Bearer realm="ringback"')),
        (unavailable(Reason.BROKER_UNAVAILABLE, "Later."), ("Retry-After", "2")),
        (wrong_verb(("GET", "HEAD")), ("Allow", "GET, HEAD")),
    ],
)
def test_a_status_has_the_headers_that_http_asks_for(
    error: ApiError, header: tuple[str, str]
) -> None:
    """RFC 9110: how to authenticate, when to retry, which verbs are allowed."""
    assert headers_of(error) == (header,)
