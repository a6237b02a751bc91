"""Checks a request against the rules of the contract for its fields.

Patterns (`Shape.pattern`) are checked by the implementations, with clearer error messages.
"""

import math
import re
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1.annotations_pb2 import Shape, shape
from ringback.services.metrics.transport.errors import Violation
from ringback.services.metrics.transport.methods import Method

MAX_TEXT = 2000
#: 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS = 10**9
_SHOWN = 40
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def violations(method: Method, request: Message) -> tuple[Violation, ...]:
    """Empty for a request that passes."""
    missing = {violation.field: violation for violation in _missing(method, request)}
    invalid = (one for one in _invalid(request, "") if one.field not in missing)
    return (*missing.values(), *invalid)


def _missing(method: Method, request: Message) -> Iterator[Violation]:
    for field in method.required_fields:
        value = getattr(request, field.name)
        absent = not value.strip() if isinstance(value, str) else not request.HasField(field.name)
        if absent:
            yield Violation(field.name, f"{field.name} is required.")


def _invalid(message: Message, prefix: str) -> Iterator[Violation]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        for one in value if field.is_repeated else (value,):
            if field.message_type is not None and not isinstance(one, Timestamp):
                yield from _invalid(one, f"{path}.")
            elif problem := _problem(field, one):
                yield Violation(path, f"{path} {problem}")


def _problem(field: FieldDescriptor, value: object) -> str | None:
    rule = field.GetOptions().Extensions[shape]
    match value:
        case str():
            return _text_problem(rule, value)
        case Timestamp() if not _is_time(value):
            return "must be a time between the years 1 and 9999."
        case int() if field.enum_type is not None and value not in field.enum_type.values_by_number:
            return "must be one of the values in the contract."
        case float() | int():
            return _number_problem(rule, value)
        case _:
            return None


def _text_problem(rule: Shape, text: str) -> str | None:
    if "\0" in text:
        return "must not contain the character U+0000."
    max_length = rule.max_length if rule.HasField("max_length") else MAX_TEXT
    if len(text) > max_length:
        return f"must have at most {max_length} characters."
    if rule.format == "uuid" and not _UUID.fullmatch(text):
        return f"must be a UUID, not {text[:_SHOWN]!r}."
    return None


def _number_problem(rule: Shape, number: float) -> str | None:
    if not math.isfinite(number):
        return "must be a finite number."
    if rule.HasField("minimum") and number < rule.minimum:
        return f"must be at least {rule.minimum:g}."
    if rule.HasField("maximum") and number > rule.maximum:
        return f"must be at most {rule.maximum:g}."
    return None


def _is_time(value: Timestamp) -> bool:
    return _FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS
