"""A JSON document as a request message."""

from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ringback.metrics.message_field import (
    descriptor_of,
    field_named,
    is_part,
    map_value,
    set_value,
)
from services.metrics.api.errors import ApiError, Violation, invalid
from services.metrics.api.json_value import from_json
from services.metrics.api.violations import Violations


def read_body(body: bytes, message: Message, *, elsewhere: frozenset[str] = frozenset()) -> None:
    """Fill `message` from a document; an empty body sets no field.

    Names are accepted as the contract writes them and in camelCase; null leaves a field unset.
    `elsewhere` are names of fields that the body must not contain. Raises ApiError INVALID_ARGUMENT
    that names each invalid field.
    """
    try:
        given = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as exc:
        raise _no_object("is not JSON") from exc
    if not isinstance(given, dict):
        raise _no_object("is not a JSON object")
    violations = Violations()
    for name in elsewhere:
        field = descriptor_of(message).fields_by_name[name]
        if given.keys() & {name, field.json_name}:
            violations.add(name, "stands in the path, and must not stand in the body")
    _fill(message, given, violations, "")
    violations.raise_if_any()


def _no_object(what: str) -> ApiError:
    return invalid(Violation("body", f"The body {what}."))


def _fill(message: Message, given: Mapping[str, Any], violations: Violations, within: str) -> None:
    seen: set[str] = set()
    for name, value in given.items():
        field = field_named(message, name)
        if field is None:
            violations.add(f"{within}{name}", "is not a field of this request")
            continue
        path = f"{within}{field.name}"
        if field.name in seen:
            violations.add(path, "is given twice, by two spellings of its name")
        seen.add(field.name)
        if value is not None:
            _put(message, field, value, violations, path)


def _put(
    message: Message, field: FieldDescriptor, value: Any, violations: Violations, path: str
) -> None:
    of_map = map_value(field)
    if of_map is not None:
        _put_members(getattr(message, field.name), of_map, value, violations, path)
    elif field.is_repeated:
        _put_elements(getattr(message, field.name), field, value, violations, path)
    elif is_part(field):
        part = getattr(message, field.name)
        part.SetInParent()
        _fill_part(part, value, violations, f"{path}.")
    else:
        with violations.of(path):
            set_value(message, field, from_json(field, value))


def _put_members(
    members: Any, of_map: FieldDescriptor, value: Any, violations: Violations, path: str
) -> None:
    if not isinstance(value, dict):
        violations.add(path, "must be an object")
        return
    for key, member in value.items():
        if is_part(of_map):
            _fill_part(members[key], member, violations, f"{path}.{key}.")
        else:
            with violations.of(f"{path}.{key}"):
                members[key] = from_json(of_map, member)


def _put_elements(
    elements: Any, field: FieldDescriptor, value: Any, violations: Violations, path: str
) -> None:
    if not isinstance(value, list):
        violations.add(path, "must be a list")
        return
    for index, element in enumerate(value):
        if is_part(field):
            _fill_part(elements.add(), element, violations, f"{path}[{index}].")
        else:
            with violations.of(f"{path}[{index}]"):
                elements.append(from_json(field, element))


def _fill_part(part: Message, value: Any, violations: Violations, within: str) -> None:
    if isinstance(value, dict):
        _fill(part, value, violations, within)
    else:
        violations.add(within.removesuffix("."), "must be an object")
