"""What a call of the metrics API can end as instead of an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request, by its name in the contract, and what is wrong with it."""

    field: str
    description: str


@dataclass(eq=False)
class MetricsError(Exception):
    """A call failed. `message` is a sentence; programs branch on the class, or on `reason`.

    `reason` is UPPER_SNAKE_CASE and stable; it is empty when no metrics service spoke, as when
    nobody listens at the address. `metadata` says more: `newJobId` with ALREADY_RETRIED, say.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(MetricsError):
    """The request cannot be meant; `violations` names each field that is wrong."""


class UnauthenticatedError(MetricsError):
    """There is no token, or the service does not accept it."""


class PermissionDeniedError(MetricsError):
    """The token is good, but its role may not do this."""


class NotFoundError(MetricsError):
    """There is no such thing, or none that the caller may see."""


class PreconditionError(MetricsError):
    """The webhook is not in a state in which this can be done; `reason` says which it is in."""


class UnavailableError(MetricsError):
    """The service, or something that it needs, cannot be reached. Later it may go."""


class DeadlineError(MetricsError):
    """No answer came in time. Whether a change was made is not known."""


_KINDS: Mapping[grpc.StatusCode, type[MetricsError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}


def metrics_error(failed: grpc.aio.AioRpcError) -> MetricsError:
    """The error of this package for one of gRPC's, with the details that came with it."""
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


def _details(failed: grpc.aio.AioRpcError) -> list[Message]:
    """The details of the status (google.rpc.Status) that we know; an unreadable one has none."""
    status = status_pb2.Status()
    try:
        for key, value in failed.trailing_metadata():
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
