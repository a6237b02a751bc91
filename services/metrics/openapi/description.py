"""The whole OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.metrics.api.http_rule import http_rule
from services.metrics.api.methods import Method
from services.metrics.api.problem import CONTENT_TYPE
from services.metrics.api.rest_binding import TIMEOUT_HEADER
from services.metrics.openapi.operations import openapi_path, operation
from services.metrics.openapi.schemas import Schema, Schemas

_ABOUT = f"""\
Where the webhooks are, how the queues do, and what can be done about dead letters. The same calls
are there by gRPC, in `ringback.metrics.v1`.

Descriptions name fields as that contract does: `job_id` is `jobId` here. Requests may use either
name. The header `{TIMEOUT_HEADER}` says how many seconds the caller waits for an answer."""


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
        "description": "Why there is no answer (RFC 9457).",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _problem() -> Schema:
    properties: dict[str, Schema] = {
        "type": _text("Always `about:blank`."),
        "title": _text("What the HTTP status is called."),
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": _text("What is wrong, in a sentence."),
        "code": _text("What gRPC calls it: `NOT_FOUND`, say."),
        "reason": _text("Why, for programs: `ALREADY_RETRIED`, say."),
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "More for programs, by the reason.",
        },
        "violations": {
            "type": "array",
            "items": _of_texts("field", "description"),
            "description": "The fields that are wrong, by their names in the contract.",
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
