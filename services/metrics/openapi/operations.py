"""Methods of the contract as operations of OpenAPI."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ringback.metrics.message_field import descriptor_of, is_part
from services.metrics.api.http_rule import HttpRule
from services.metrics.api.methods import Method
from services.metrics.openapi.schemas import Schema, Schemas, is_required

_STATUSES = ("400", "401", "403", "404", "429", "500", "503", "504")
_BODY_STATUSES = ("413", "415")


def operation(method: Method, rule: HttpRule, schemas: Schemas) -> dict[str, Any]:
    comment = schemas.comment(method.full_name)
    asked = descriptor_of(method.request_class())
    statuses = sorted((*_STATUSES, *(_BODY_STATUSES if rule.has_body else ())))
    described: dict[str, Any] = {
        "operationId": method.name,
        "tags": [method.service.rpartition(".")[2]],
        "summary": comment.partition(". ")[0].partition("\n")[0].rstrip(".,"),
        "description": f"{comment}\n\nLeast role: `{method.least_role}`.",
        "parameters": _parameters(asked, rule, schemas),
        "responses": {
            "200": _answer(method, schemas),
            **{status: {"$ref": "#/components/responses/Problem"} for status in statuses},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if rule.has_body:
        schema = schemas.request(asked, without=rule.variables)
        is_needed = any(is_required(field) for field in asked.fields if not _in_path(field, rule))
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
        "description": "A line for each answer, until the end. When it ends by an error after the "
        'first line, the last one is `{"error": ...}` with a Problem.',
        "content": {"application/x-ndjson": {"schema": schema}},
    }


def _parameters(asked: Descriptor, rule: HttpRule, schemas: Schemas) -> list[Schema]:
    return [
        _parameter(field, schemas, in_path=_in_path(field, rule))
        for field in asked.fields
        if _in_path(field, rule) or not (rule.has_body or is_part(field))
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
