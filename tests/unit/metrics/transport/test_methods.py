"""Tests for the methods: the contract has all that is needed to serve it."""

from typing import Any

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from ringback.metrics.v1 import annotations_pb2 as ours
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.methods import methods_of

POOL = descriptor_pool.Default()
PACKAGE = "ringback.metrics.v1"


def services_in_pool() -> list[ServiceDescriptor]:
    files = ("metrics_service.proto", "admin_service.proto")
    found = [POOL.FindFileByName(f"{PACKAGE.replace('.', '/')}/{name}") for name in files]
    return [service for file in found for service in file.services_by_name.values()]


def test_every_method_of_the_contract_is_served() -> None:
    """Each service of the package, each of its methods, with a role and a path."""
    stated = {method.full_name for service in services_in_pool() for method in service.methods}

    methods = methods_of()

    assert {method.full_name for method in methods} == stated
    assert len(methods) == len(stated) >= 19
    for method in methods:
        rule = method.http_rule
        assert rule.get.startswith("/api/") or rule.post.startswith("/api/"), method.full_name


def test_no_required_field_is_overlooked() -> None:
    """Only the request's own fields are checked; no nested one is required by the contract."""

    def below(message: Any, seen: set[str]) -> list[str]:
        if message.full_name in seen:
            return []
        seen.add(message.full_name)
        parts = [field.message_type for field in message.fields if field.message_type]
        stated = [
            field.full_name
            for part in parts
            for field in part.fields
            if field_behavior_pb2.REQUIRED
            in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        ]
        return stated + [name for part in parts for name in below(part, seen)]

    for method in methods_of():
        assert below(method.request_class.DESCRIPTOR, set()) == [], method.full_name


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ("path", "bare.Bare.Call declares no least_role."),
        ("role", "bare.Bare.Call declares no HTTP rule."),
    ],
)
def test_an_incomplete_method_stops_the_start(stated: str, sentence: str) -> None:
    """The service does not start with a method without a role or without a REST route."""
    file = descriptor_pb2.FileDescriptorProto(name="bare.proto", package="bare", syntax="proto3")
    file.message_type.add(name="Nothing")
    method = file.service.add(name="Bare").method.add(
        name="Call", input_type=".bare.Nothing", output_type=".bare.Nothing"
    )
    if stated == "role":
        method.options.Extensions[ours.least_role] = ours.CALLER_ROLE_TENANT
    if stated == "path":
        method.options.Extensions[annotations_pb2.http].get = "/bare"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    with pytest.raises(CannotStartError) as caught:
        methods_of(pool.FindServiceByName("bare.Bare"))

    assert str(caught.value) == sentence
