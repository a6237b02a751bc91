"""A client that knows no contract: it asks the server for it, as grpcurl does."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


@dataclass(slots=True)
class ReflectingClient:
    """Blocking: call it in a thread of its own (`asyncio.to_thread`)."""

    channel: grpc.Channel
    database: Any = field(init=False)
    pool: DescriptorPool = field(init=False)

    def __post_init__(self) -> None:
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.database)

    def services(self) -> list[str]:
        return sorted(self.database.get_services())

    def methods(self, service: str) -> dict[str, bool]:
        """Each method's name, and whether it streams its answers."""
        found = self.pool.FindServiceByName(service)
        return {method.name: method.server_streaming for method in found.methods}

    def call(
        self, service: str, name: str, request: dict[str, Any], *, token: str, timeout_s: float = 10
    ) -> dict[str, Any]:
        """The answer, or the first one of a stream, as JSON. Raises grpc.RpcError."""
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        message = json_format.ParseDict(request, GetMessageClass(method.input_type)())
        channel: Any = self.channel
        make = channel.unary_stream if method.server_streaming else channel.unary_unary
        answer = make(
            f"/{service}/{name}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(message, timeout=timeout_s, metadata=(("authorization", f"Bearer {token}"),))
        if method.server_streaming:
            stream, answer = answer, next(answer)
            stream.cancel()
        told: dict[str, Any] = json_format.MessageToDict(answer, descriptor_pool=self.pool)
        return told


@contextmanager
def reflecting_client(address: str) -> Generator[ReflectingClient, None, None]:
    with grpc.insecure_channel(address) as channel:
        yield ReflectingClient(channel)
