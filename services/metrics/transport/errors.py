"""The errors that a call can end with.

Callers see the texts: no SQL, no host, no secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import grpc

DOMAIN = "ringback"
"""The domain of every reason (google.rpc.ErrorInfo)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request, by its name in the contract, and its problem."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What the error is about: for example `delivery` and a job id."""

    type: str
    name: str


@dataclass(eq=False)
class ApiError(Exception):
    """`reason` is UPPER_SNAKE_CASE and stable: programs branch on it. `message` is a sentence."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    resource: Resource | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def invalid(*violations: Violation) -> ApiError:
    """The request is invalid; each violation names a field."""
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        " ".join(violation.description for violation in violations),
        violations=violations,
    )


def no_such_delivery(job_id: UUID | str) -> ApiError:
    """It does not exist or belongs to another organisation: the caller cannot see which."""
    return ApiError(
        grpc.StatusCode.NOT_FOUND,
        "DELIVERY_NOT_FOUND",
        f"There is no webhook with the job id {job_id}.",
        resource=Resource("delivery", str(job_id)),
    )


def precondition(reason: str, message: str, job_id: UUID, **metadata: str) -> ApiError:
    """The webhook's state does not allow this."""
    return ApiError(
        grpc.StatusCode.FAILED_PRECONDITION,
        reason,
        message,
        metadata=metadata,
        resource=Resource("delivery", str(job_id)),
    )


def unauthenticated(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", message)


def permission_denied(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", message)


def unavailable(reason: str, message: str) -> ApiError:
    """A dependency is unavailable; the same call may succeed later."""
    return ApiError(grpc.StatusCode.UNAVAILABLE, reason, message)


def deadline_exceeded() -> ApiError:
    return ApiError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "The answer was not ready before the deadline.",
    )


def internal() -> ApiError:
    """An unexpected error. Its details go to our log, not to the caller."""
    return ApiError(grpc.StatusCode.INTERNAL, "INTERNAL", "Internal error; it was logged.")
