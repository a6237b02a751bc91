"""Convert one value of a JSON document, or of a query, to the type of a field."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.enum_words import numbers_of, words_of
from ringback.metrics.rfc3339 import read_time
from ringback.metrics.v1.annotations_pb2 import json_text

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


class MisfitError(ValueError):
    """The value does not fit the field. The text ends a sentence: `must be true or false`."""


def from_json(field: FieldDescriptor, value: Any) -> Any:
    """Return the value for the field, or for one element of it. Raises MisfitError.

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
        raise MisfitError("must be a time like 2026-01-27T06:30:00Z")
    return moment


def _word(field: FieldDescriptor, value: Any) -> int:
    enum = field.enum_type
    assert enum is not None
    number = numbers_of(enum).get(value) if isinstance(value, str) else None
    if number is None:
        words = ", ".join(f"`{word}`" for word in words_of(enum).values())
        raise MisfitError(f"must be one of {words}")
    return number


def _integer(field: FieldDescriptor, value: Any) -> int:
    low, high = _INTEGERS[field.cpp_type]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # 1e3 and 5.0 are whole numbers to JSON.
    if not is_number or not isfinite(value) or value != int(value):
        raise MisfitError("must be a whole number")
    if not low <= value <= high:
        raise MisfitError(f"must be from {low} to {high}")
    return int(value)


def _real(_field: FieldDescriptor, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise MisfitError("must be a finite number")
    return float(value)


def _boolean(_field: FieldDescriptor, value: Any) -> bool:
    if not isinstance(value, bool):
        raise MisfitError("must be true or false")
    return value


def _string(field: FieldDescriptor, value: Any) -> str:
    if field.GetOptions().Extensions[json_text]:
        return orjson.dumps(value).decode()
    if not isinstance(value, str):
        raise MisfitError("must be a string")
    return value


_READERS: Mapping[int, Callable[[FieldDescriptor, Any], Any]] = {
    FieldDescriptor.CPPTYPE_MESSAGE: _time,
    FieldDescriptor.CPPTYPE_ENUM: _word,
    FieldDescriptor.CPPTYPE_DOUBLE: _real,
    FieldDescriptor.CPPTYPE_FLOAT: _real,
    FieldDescriptor.CPPTYPE_BOOL: _boolean,
    FieldDescriptor.CPPTYPE_STRING: _string,
}
