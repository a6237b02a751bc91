"""The methods of the contract, read from its descriptors, so that nothing is repeated here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, field_behavior_pb2, http_pb2
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ringback.metrics.v1 import admin_service_pb2, metrics_service_pb2
from ringback.metrics.v1 import annotations_pb2 as ours
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.auth.principal import Role

METRICS_SERVICE = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]
ADMIN_SERVICE = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
SERVICES: tuple[ServiceDescriptor, ...] = (METRICS_SERVICE, ADMIN_SERVICE)

_ROLES = {ours.CALLER_ROLE_TENANT: Role.TENANT, ours.CALLER_ROLE_SERVICE: Role.SERVICE}
_BEFORE_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Method:
    """`service` is the full name of the service, as in `ringback.metrics.v1.AdminService`."""

    full_name: str
    service: str
    name: str
    request_class: type[Message]
    response_class: type[Message]
    is_server_streaming: bool
    least_role: Role
    required_fields: tuple[FieldDescriptor, ...]
    http_rule: http_pb2.HttpRule

    @property
    def python_name(self) -> str:
        """The name of the implementing method: `GetDelivery` is `get_delivery`."""
        return _BEFORE_CAPITAL.sub("_", self.name).lower()

    @property
    def grpc_path(self) -> str:
        return f"/{self.service}/{self.name}"


def methods_of(*services: ServiceDescriptor) -> tuple[Method, ...]:
    """All methods of `services`, by default of both services of the contract.

    Raises CannotStartError when a method declares no minimum role or no HTTP rule.
    """
    return tuple(
        _method(service, method) for service in services or SERVICES for method in service.methods
    )


def _method(service: ServiceDescriptor, method: MethodDescriptor) -> Method:
    options = method.GetOptions()
    least_role = _ROLES.get(options.Extensions[ours.least_role])
    if least_role is None:
        raise CannotStartError(f"{method.full_name} declares no least_role.")
    rule = options.Extensions[annotations_pb2.http]
    if not rule.WhichOneof("pattern"):
        raise CannotStartError(f"{method.full_name} declares no HTTP rule.")
    return Method(
        full_name=method.full_name,
        service=service.full_name,
        name=method.name,
        request_class=GetMessageClass(method.input_type),
        response_class=GetMessageClass(method.output_type),
        is_server_streaming=method.server_streaming,
        least_role=least_role,
        required_fields=tuple(_required(method.input_type)),
        http_rule=rule,
    )


def _required(message: Descriptor) -> Iterator[FieldDescriptor]:
    for field in message.fields:
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.REQUIRED in behaviors:
            yield field
