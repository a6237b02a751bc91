"""An error as gRPC sends it: the status, and details that programs branch on."""

from collections.abc import Iterable, Iterator

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.metrics.api.errors import DOMAIN, ApiError, Violation

_MOST_TEXT = 250
"""The longest text, in characters.

It may quote the caller, and the whole status must fit into the response trailers. Clients accept 8
KiB of trailers, and a character may need 12 bytes there.
"""
_MOST_VIOLATION_BYTES = 1500


def grpc_status(error: ApiError) -> grpc.Status:
    status = status_pb2.Status(code=error.code.value[0], message=error.message[:_MOST_TEXT])
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    told: grpc.Status = rpc_status.to_status(status)
    return told


def _details(error: ApiError) -> Iterator[Message]:
    yield error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
    )
    if error.violations:
        yield error_details_pb2.BadRequest(field_violations=_first(error.violations))
    if error.resource is not None:
        yield error_details_pb2.ResourceInfo(
            resource_type=error.resource.type, resource_name=error.resource.name[:_MOST_TEXT]
        )


def _first(
    violations: Iterable[Violation],
) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    """As many as fit; the first one always."""
    room = _MOST_VIOLATION_BYTES
    for violation in violations:
        told = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:_MOST_TEXT], description=violation.description[:_MOST_TEXT]
        )
        yield told
        room -= told.ByteSize()
        if room < 0:
            return
