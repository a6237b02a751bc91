"""An error as gRPC tells it: the status, and beside it what programs branch on."""

from collections.abc import Iterator

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.metrics.api.errors import DOMAIN, ApiError

_MOST_TEXT = 500
"""Texts may quote the caller; all of a status must fit into the trailers of an answer."""
_MOST_VIOLATIONS = 5


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
        yield error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=violation.field, description=violation.description[:_MOST_TEXT]
                )
                for violation in error.violations[:_MOST_VIOLATIONS]
            ]
        )
    if error.resource is not None:
        yield error_details_pb2.ResourceInfo(
            resource_type=error.resource.type,
            resource_name=error.resource.name[:_MOST_TEXT],
            description=error.message[:_MOST_TEXT],
        )
