"""The errors that a call can end with.

Callers see the texts: no SQL, no host, no secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import grpc

_MAX_CAUSE = 300

DOMAIN = "ringback"
"""The domain of every reason (google.rpc.ErrorInfo)."""


class Reason(StrEnum):
    """Why a call failed, for programs. A name never changes. docs/problems.md explains each."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    DESTINATION_NOT_FOUND = "DESTINATION_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    RUN_ENDED = "RUN_ENDED"
    NOT_A_DEAD_LETTER = "NOT_A_DEAD_LETTER"
    NOT_A_DUPLICATE = "NOT_A_DUPLICATE"
    NOT_COMPLETED = "NOT_COMPLETED"
    NOT_RETRYABLE = "NOT_RETRYABLE"
    DISCARDED = "DISCARDED"
    ALREADY_RETRIED = "ALREADY_RETRIED"
    NOT_WAITING = "NOT_WAITING"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    WAITS_IN_ORDER = "WAITS_IN_ORDER"
    CONSOLE_OFF = "CONSOLE_OFF"
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"
    # Only in REST.
    NO_SUCH_PATH = "NO_SUCH_PATH"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    BAD_HTTP = "BAD_HTTP"
    BROKEN_BODY = "BROKEN_BODY"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    WRONG_CONTENT_TYPE = "WRONG_CONTENT_TYPE"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"


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
    """Programs branch on `reason`. `message` is a sentence."""

    code: grpc.StatusCode
    reason: Reason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    resource: Resource | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def cause_of(error: ApiError) -> str | None:
    """What raised the error, for our log."""
    cause = error.__cause__
    return f"{type(cause).__name__}: {cause}"[:_MAX_CAUSE] if cause else None


def invalid(*violations: Violation) -> ApiError:
    """The request is invalid; each violation names a field."""
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        " ".join(violation.description for violation in violations),
        violations=violations,
    )


def no_such_delivery(job_id: UUID | str) -> ApiError:
    """The webhook does not exist or belongs to another organisation; callers cannot see which."""
    return ApiError(
        grpc.StatusCode.NOT_FOUND,
        Reason.DELIVERY_NOT_FOUND,
        f"There is no webhook with the job id {job_id}.",
        resource=Resource("delivery", str(job_id)),
    )


def no_such_destination(name: str) -> ApiError:
    """No processor and no person has named it."""
    return ApiError(
        grpc.StatusCode.NOT_FOUND,
        Reason.DESTINATION_NOT_FOUND,
        f"No running processor has a destination {name}. List the destinations for their names.",
        resource=Resource("destination", name),
    )


def no_such_run(run_id: UUID) -> ApiError:
    """The run does not exist or belongs to another organisation; callers cannot see which."""
    return ApiError(
        grpc.StatusCode.NOT_FOUND,
        Reason.RUN_NOT_FOUND,
        f"There is no retry run with the id {run_id}. List the runs for their ids.",
        resource=Resource("retry_run", str(run_id)),
    )


def run_ended(run_id: UUID, state: str) -> ApiError:
    """The run can no longer be changed."""
    return ApiError(
        grpc.StatusCode.FAILED_PRECONDITION,
        Reason.RUN_ENDED,
        f"The retry run is {state}, so it cannot be changed; create another one for the rest.",
        resource=Resource("retry_run", str(run_id)),
    )


def precondition(reason: Reason, message: str, job_id: UUID) -> ApiError:
    """The webhook's state does not allow this."""
    return ApiError(
        grpc.StatusCode.FAILED_PRECONDITION,
        reason,
        message,
        resource=Resource("delivery", str(job_id)),
    )


def console_off() -> ApiError:
    """The service serves no console."""
    return ApiError(
        grpc.StatusCode.FAILED_PRECONDITION,
        Reason.CONSOLE_OFF,
        "This service has no console. Set RINGBACK_CONSOLE_SECRET at the metrics service.",
    )


def already_retried(job_id: UUID, new_id: UUID | None) -> ApiError:
    """`new_id` is the webhook that the first retry created."""
    return ApiError(
        grpc.StatusCode.ALREADY_EXISTS,
        Reason.ALREADY_RETRIED,
        f"The webhook was retried already, as {new_id}.",
        metadata={"newJobId": str(new_id)},
        resource=Resource("delivery", str(job_id)),
    )


def unauthenticated(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, message)


def permission_denied(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.PERMISSION_DENIED, Reason.PERMISSION_DENIED, message)


def unavailable(reason: Reason, message: str) -> ApiError:
    """A dependency is unavailable; the same call may succeed later."""
    return ApiError(grpc.StatusCode.UNAVAILABLE, reason, message)


def deadline_exceeded() -> ApiError:
    return ApiError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        "The answer was not ready before the deadline; try again with a longer timeout.",
    )


def internal() -> ApiError:
    """An unexpected error. Its details go to our log, not to the caller."""
    return ApiError(grpc.StatusCode.INTERNAL, Reason.INTERNAL, "Internal error; it was logged.")
