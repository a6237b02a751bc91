"""Fills a request message from a JSON body, from query parameters and from path variables."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.enum_words import numbers_of, words_of
from ringback.metrics.message_field import (
    descriptor_of,
    field_named,
    is_message,
    map_value,
    set_value,
)
from ringback.metrics.rfc3339 import read_time
from ringback.metrics.v1.annotations_pb2 import json_text
from ringback.services.metrics.transport.errors import ApiError, Violation, invalid

_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_REALS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}

#: More digits than any integer has, fewer than Python refuses to parse.
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,40}")
_REAL_TEXT = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = {"true": True, "false": False}


class FieldTypeError(ValueError):
    """A value has the wrong type. The message ends a sentence, such as `must be true or false`."""


def from_json(field: FieldDescriptor, value: Any) -> Any:
    """Return the value for the field, or for one element of it. Raises FieldTypeError.

    The field is not a message, except a Timestamp. `value` is not None.
    """
    if field.cpp_type in _INTEGERS:
        return _integer(field, value)
    return _READERS[field.cpp_type](field, value)


def from_text(field: FieldDescriptor, text: str) -> Any:
    """The same for a value in a query, where everything is text."""
    value: Any = text
    if field.cpp_type in _INTEGERS and _INTEGER_TEXT.fullmatch(text):
        value = int(text)
    elif field.cpp_type in _REALS and _REAL_TEXT.fullmatch(text):
        value = float(text)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        value = _BOOLEANS.get(text, text)
    return from_json(field, value)


def _time(_field: FieldDescriptor, value: Any) -> Timestamp:
    moment = read_time(value) if isinstance(value, str) else None
    if moment is None:
        raise FieldTypeError("must be a time like 2026-01-27T06:30:00Z")
    return moment


def _word(field: FieldDescriptor, value: Any) -> int:
    enum = field.enum_type
    assert enum is not None
    number = numbers_of(enum).get(value) if isinstance(value, str) else None
    if number is None:
        words = ", ".join(f"`{word}`" for word in words_of(enum).values())
        raise FieldTypeError(f"must be one of {words}")
    return number


def _integer(field: FieldDescriptor, value: Any) -> int:
    low, high = _INTEGERS[field.cpp_type]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # 1e3 and 5.0 are whole numbers to JSON.
    if not is_number or not isfinite(value) or value != int(value):
        raise FieldTypeError("must be a whole number")
    if not low <= value <= high:
        raise FieldTypeError(f"must be from {low} to {high}")
    return int(value)


def _real(_field: FieldDescriptor, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise FieldTypeError("must be a finite number")
    return float(value)


def _boolean(_field: FieldDescriptor, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FieldTypeError("must be true or false")
    return value


def _string(field: FieldDescriptor, value: Any) -> str:
    if field.GetOptions().Extensions[json_text]:
        return orjson.dumps(value).decode()
    if not isinstance(value, str):
        raise FieldTypeError("must be a string")
    return value


_READERS: Mapping[int, Callable[[FieldDescriptor, Any], Any]] = {
    FieldDescriptor.CPPTYPE_MESSAGE: _time,
    FieldDescriptor.CPPTYPE_ENUM: _word,
    FieldDescriptor.CPPTYPE_DOUBLE: _real,
    FieldDescriptor.CPPTYPE_FLOAT: _real,
    FieldDescriptor.CPPTYPE_BOOL: _boolean,
    FieldDescriptor.CPPTYPE_STRING: _string,
}


#: A body of a megabyte can have many thousands; a caller fixes a few at a time.
_MAX_VIOLATIONS = 20
_MAX_NAME = 80


class Violations:
    """Collects violations and reports the first twenty."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, what: str) -> None:
        """`what` ends a sentence that begins with the field's name."""
        if len(self._found) < _MAX_VIOLATIONS:
            name = field if len(field) <= _MAX_NAME else f"{field[:_MAX_NAME]}..."
            self._found.append(Violation(name, f"`{name}` {what}."))

    @contextmanager
    def of(self, field: str) -> Generator[None, None, None]:
        """Record a FieldTypeError raised inside as a violation of the field."""
        try:
            yield
        except FieldTypeError as exc:
            self.add(field, str(exc))

    def raise_if_any(self) -> None:
        """Raises ApiError INVALID_ARGUMENT with all of them."""
        if self._found:
            raise invalid(*self._found)


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
            violations.add(name, "is already in the path, and must not be in the body")
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
            violations.add(path, "is given twice, once in camelCase and once in snake_case")
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
    elif is_message(field):
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
        if is_message(of_map):
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
        if is_message(field):
            _fill_part(elements.add(), element, violations, f"{path}[{index}].")
        else:
            with violations.of(f"{path}[{index}]"):
                elements.append(from_json(field, element))


def _fill_part(part: Message, value: Any, violations: Violations, within: str) -> None:
    if isinstance(value, dict):
        _fill(part, value, violations, within)
    else:
        violations.add(within.removesuffix("."), "must be an object")


def read_query(
    pairs: Iterable[tuple[str, str]],
    message: Message,
    *,
    elsewhere: frozenset[str] = frozenset(),
) -> None:
    """Fill `message` from decoded parameters: `limit=20`, `filter.eventType=call.ended`.

    Names are accepted as the contract writes them and in camelCase; a list repeats its parameter.
    `elsewhere` are names of fields that the query must not contain. Raises ApiError
    INVALID_ARGUMENT that names each invalid parameter.
    """
    violations = Violations()
    seen: set[str] = set()
    for name, text in pairs:
        found = _find_parameter(message, name)
        if found is None:
            violations.add(name, "is not a parameter of this request")
            continue
        part, field, path = found
        if path in elsewhere:
            violations.add(path, "is already in the path, and must not be in the query")
        elif path in seen and not field.is_repeated:
            violations.add(path, "is given more than once")
        else:
            seen.add(path)
            with violations.of(path):
                _put_text(part, field, text)
    violations.raise_if_any()


def read_path(variables: Mapping[str, str], message: Message) -> None:
    """Fill `message` from decoded variables of a path. Raises ApiError like `read_query`."""
    violations = Violations()
    for name, text in variables.items():
        with violations.of(name):
            _put_text(message, descriptor_of(message).fields_by_name[name], text)
    violations.raise_if_any()


def _find_parameter(message: Message, name: str) -> tuple[Message, FieldDescriptor, str] | None:
    """The message with the field, the field, and its path; None if there is no such field."""
    *parents, last = name.split(".")
    part = message
    path = ""
    for parent in parents:
        field = field_named(part, parent)
        if field is None or field.is_repeated or not is_message(field):
            return None
        part = getattr(part, field.name)
        path += f"{field.name}."
    field = field_named(part, last)
    if field is None or is_message(field) or map_value(field) is not None:
        return None
    return part, field, path + field.name


def _put_text(part: Message, field: FieldDescriptor, text: str) -> None:
    value = from_text(field, text)
    if field.is_repeated:
        getattr(part, field.name).append(value)
    else:
        set_value(part, field, value)
