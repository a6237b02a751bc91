"""The errors of metrics API calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request, by its name in the contract, and its problem."""

    field: str
    description: str


@dataclass(eq=False)
class MetricsError(Exception):
    """A call failed. `message` is a sentence; programs use the class or `reason`.

    `reason` is UPPER_SNAKE_CASE and stable. It is empty if no metrics service answered, for example
    if nothing listens at the address. `metadata` has details, such as `newJobId` with
    ALREADY_RETRIED.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(MetricsError):
    """The request is invalid; `violations` names each invalid field."""


class UnauthenticatedError(MetricsError):
    """The token is missing or invalid."""


class PermissionDeniedError(MetricsError):
    """The token is valid, but its role may not do this."""


class NotFoundError(MetricsError):
    """It does not exist, or the caller may not see it."""


class PreconditionError(MetricsError):
    """The webhook is in a state that does not allow this; `reason` names the state."""


class UnavailableError(MetricsError):
    """The service, or something that it needs, cannot be reached. A later call may succeed."""


class DeadlineError(MetricsError):
    """No answer came in time. Whether a change was made is unknown."""


_KINDS: Mapping[grpc.StatusCode, type[MetricsError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    # With the reason ALREADY_RETRIED.
    grpc.StatusCode.ALREADY_EXISTS: PreconditionError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}


def metrics_error(failed: grpc.RpcError) -> MetricsError:
    """Convert an error of gRPC, with its details."""
    reason, metadata = "", dict[str, str]()
    violations: list[FieldViolation] = []
    for detail in _details(failed):
        match detail:
            case error_details_pb2.ErrorInfo():
                reason, metadata = detail.reason, dict(detail.metadata)
            case error_details_pb2.BadRequest():
                violations += (
                    FieldViolation(one.field, one.description) for one in detail.field_violations
                )
    kind = _KINDS.get(failed.code(), MetricsError)
    return kind(failed.code(), reason, failed.details() or "", metadata, tuple(violations))


def _details(failed: grpc.RpcError) -> list[Message]:
    """The known details of the status (google.rpc.Status); an unreadable one has none."""
    status = status_pb2.Status()
    # The two kinds of calls have different types for it, and a call that failed here has none.
    metadata: Any = failed.trailing_metadata() or ()
    try:
        for key, value in metadata:
            if key == _DETAILS_KEY:
                status.ParseFromString(value if isinstance(value, bytes) else value.encode())
        found: list[Message] = []
        for packed in status.details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
                detail = kind()
                if packed.Unpack(detail):
                    found.append(detail)
    except DecodeError:
        return []
    return found
