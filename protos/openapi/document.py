"""The OpenAPI document: methods of the contract as operations."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from protos.openapi.schemas import Schema, Schemas, is_required
from ringback.metrics.message_field import descriptor_of, is_message
from ringback.services.metrics.transport.methods import Method
from ringback.services.metrics.transport.problem import CONTENT_TYPE
from ringback.services.metrics.transport.rest_routes import HttpRule, http_rule
from ringback.services.metrics.transport.rest_server import TIMEOUT_HEADER

_ABOUT = f"""\
The state of webhooks and queues, and commands for dead letters. The same calls exist in gRPC, in
`ringback.metrics.v1`.

Descriptions name fields as that contract does: `job_id` is `jobId` here. Requests may use either
name. The header `{TIMEOUT_HEADER}` sets how many seconds the caller waits for an answer."""
_STATUSES = ("400", "401", "403", "404", "429", "500", "503", "504")
_BODY_STATUSES = ("409", "413", "415")


def description_of(methods: Iterable[Method], comments: Mapping[str, str]) -> dict[str, Any]:
    """`comments`: the contract's comments by full name."""
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    for method in methods:
        rule = http_rule(method)
        described = operation(method, rule, schemas)
        paths.setdefault(openapi_path(method, rule), {})[rule.verb.lower()] = described
        tags[method.service.rpartition(".")[2]] = schemas.comment(method.service)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringback metrics", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
            "responses": {"Problem": _problem_response()},
            "schemas": {**dict(sorted(schemas.collected.items())), "Problem": _problem()},
        },
    }


def _problem_response() -> dict[str, Any]:
    return {
        "description": "An error (RFC 9457).",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _problem() -> Schema:
    properties: dict[str, Schema] = {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "A URI for the reason: the address of its explanation.",
        },
        "title": _text("The name of the HTTP status."),
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": _text("The error, in a sentence."),
        "code": _text("The gRPC status, such as `NOT_FOUND`."),
        "reason": _text("The reason, for programs, such as `ALREADY_RETRIED`."),
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "More for programs; depends on the reason.",
        },
        "violations": {
            "type": "array",
            "items": _of_texts("field", "description"),
            "description": "The invalid fields, by their names in the contract.",
        },
        "resource": {
            **_of_texts("type", "name"),
            "type": ["object", "null"],
            "description": "What the error is about.",
        },
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _of_texts(*names: str) -> Schema:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


def operation(method: Method, rule: HttpRule, schemas: Schemas) -> dict[str, Any]:
    comment = schemas.comment(method.full_name)
    request = descriptor_of(method.request_class())
    statuses = sorted((*_STATUSES, *(_BODY_STATUSES if rule.has_body else ())))
    described: dict[str, Any] = {
        "operationId": method.name,
        "tags": [method.service.rpartition(".")[2]],
        "summary": comment.partition(". ")[0].partition("\n")[0].rstrip(".,"),
        "description": f"{comment}\n\nLeast role: `{method.least_role}`.",
        "parameters": _parameters(request, rule, schemas),
        "responses": {
            "200": _answer(method, schemas),
            **{status: {"$ref": "#/components/responses/Problem"} for status in statuses},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if rule.has_body:
        schema = schemas.request(request, without=rule.variables)
        is_needed = any(is_required(field) for field in request.fields if not _in_path(field, rule))
        content = {"application/json": {"schema": schema}}
        described["requestBody"] = {"required": is_needed, "content": content}
    return described


def openapi_path(method: Method, rule: HttpRule) -> str:
    """The path with its variables as REST names fields: `{jobId}`."""
    path = rule.template
    for name in rule.variables:
        json_name = method.request_class.DESCRIPTOR.fields_by_name[name].json_name
        path = path.replace(f"{{{name}}}", f"{{{json_name}}}")
    return path


def _in_path(field: FieldDescriptor, rule: HttpRule) -> bool:
    return field.name in rule.variables


def _answer(method: Method, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.answer(descriptor_of(method.response_class()))
    if not method.is_server_streaming:
        return {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    return {
        "description": "A line for each answer. If it ends with an error after the "
        'first line, the last line is `{"error": ...}` with a Problem.',
        "content": {"application/x-ndjson": {"schema": schema}},
    }


def _parameters(request: Descriptor, rule: HttpRule, schemas: Schemas) -> list[Schema]:
    return [
        _parameter(field, schemas, in_path=_in_path(field, rule))
        for field in request.fields
        if _in_path(field, rule) or not (rule.has_body or is_message(field))
    ]


def _parameter(field: FieldDescriptor, schemas: Schemas, *, in_path: bool) -> dict[str, Any]:
    described = {
        "name": field.json_name,
        "in": "path" if in_path else "query",
        "required": in_path or is_required(field),
        "schema": schemas.parameter(field),
    }
    comment = schemas.comment(field.full_name)
    return {**described, "description": comment} if comment else described
