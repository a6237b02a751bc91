"""One call by gRPC and by REST, and both results in one form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
import orjson
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ringback.metrics.json_document import document
from ringback.metrics.message_field import descriptor_of, is_message, map_value
from ringback.metrics.v1.annotations_pb2 import json_text
from ringback.services.metrics.transport.methods import Method
from ringback.services.metrics.transport.rest_routes import http_rule
from ringback.services.metrics.transport.transcoding import read_body
from tests.integration.metrics.metrics_process import MetricsProcess


@dataclass(frozen=True, slots=True)
class Refused:
    """An error, with the parts that both transports report."""

    code: str
    message: str
    reason: str
    metadata: Mapping[str, str]
    violations: tuple[tuple[str, str], ...]
    resource: tuple[str, str] | None


#: The answers of one call; of an endless stream only the first one.
Outcome = tuple[Message, ...] | Refused


async def by_grpc(
    process: MetricsProcess, method: Method, request: Message, *, authorization: str | None
) -> Outcome:
    metadata = () if authorization is None else (("authorization", authorization),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        make: Any = channel.unary_stream if method.is_server_streaming else channel.unary_unary
        call = make(
            method.grpc_path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )(request, metadata=metadata, timeout=60)
        try:
            if not method.is_server_streaming:
                return (await call,)
            return await _answers(method, aiter(call))
        except grpc.aio.AioRpcError as error:
            return _refused(error)


async def by_rest(
    process: MetricsProcess, method: Method, request: Message, *, authorization: str | None
) -> Outcome:
    rule = http_rule(method)
    path, rest = rule.template, _said(document(request))
    for name in rule.variables:
        json_name = method.request_class.DESCRIPTOR.fields_by_name[name].json_name
        path = path.replace(f"{{{name}}}", rest.pop(json_name, ""))
    sent: dict[str, Any] = {"json": rest} if rule.has_body else {"params": dict(_flat(rest))}
    headers = {"X-Request-Timeout": "60"}
    if authorization is not None:
        headers["Authorization"] = authorization
    url = f"http://127.0.0.1:{process.rest_port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(rule.verb, url, headers=headers, **sent) as answer,
    ):
        if not answer.ok:
            return _problem(orjson.loads(await answer.read()))
        if not method.is_server_streaming:
            return (_message(method, await answer.read()),)
        return await _answers(method, (_message(method, line) async for line in answer.content))


async def _answers(method: Method, answers: Any) -> tuple[Message, ...]:
    if method.name == "WatchQueueHealth":
        return (await anext(answers),)
    return tuple([answer async for answer in answers])


def _message(method: Method, body: bytes) -> Message:
    message = method.response_class()
    read_body(body, message)
    return message


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """Without absent values."""
    return {
        name: _said(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value
    }


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
    ]


def _refused(error: grpc.aio.AioRpcError) -> Refused:
    status: Any = rpc_status.from_call(error)
    info = _detail(status.details, error_details_pb2.ErrorInfo)
    bad = _detail(status.details, error_details_pb2.BadRequest)
    resource = _detail(status.details, error_details_pb2.ResourceInfo)
    return Refused(
        code=error.code().name,
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple((one.field, one.description) for one in bad.field_violations),
        resource=(resource.resource_type, resource.resource_name) if resource.ByteSize() else None,
    )


def _detail(details: list[any_pb2.Any], kind: Callable[[], Any]) -> Any:
    found = kind()
    for packed in details:
        packed.Unpack(found)
    return found


def _problem(problem: dict[str, Any]) -> Refused:
    resource = problem["resource"]
    return Refused(
        code=problem["code"],
        message=problem["detail"],
        reason=problem["reason"],
        metadata=problem["metadata"],
        violations=tuple((one["field"], one["description"]) for one in problem["violations"]),
        resource=(resource["type"], resource["name"]) if resource else None,
    )


def comparable(outcome: Outcome, *volatile: str) -> Any:
    """The same without the fields of these names, and JSON texts parsed."""
    if isinstance(outcome, Refused):
        return outcome
    return [_without(answer, volatile) for answer in outcome]


def _without(message: Message, volatile: tuple[str, ...]) -> Message:
    for name in volatile:
        if name in descriptor_of(message).fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if map_value(field) is not None:
            continue
        if is_message(field):
            for part in value if field.is_repeated else (value,):
                _without(part, volatile)
        elif field.GetOptions().Extensions[json_text]:
            setattr(message, field.name, orjson.dumps(orjson.loads(value)).decode())
    return message
