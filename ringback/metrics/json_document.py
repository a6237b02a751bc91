"""A message as the JSON document that REST shows.

camelCase names, every field always there (what is unset is null), integers as numbers, enums as
short words, times as RFC 3339 writes them, and what is JSON already as it is.
"""

from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.enum_words import words_of
from ringback.metrics.message_field import descriptor_of, map_value
from ringback.metrics.rfc3339 import time_text
from ringback.metrics.v1.annotations_pb2 import json_text


def json_bytes(message: Message) -> bytes:
    """The document in UTF-8, on one line."""
    return orjson.dumps(document(message))


def document(message: Message) -> dict[str, Any]:
    """The same as values for orjson."""
    return {field.json_name: _field(message, field) for field in descriptor_of(message).fields}


def _field(message: Message, field: FieldDescriptor) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    of_map = map_value(field)
    if of_map is not None:
        return {key: _single(of_map, value[key]) for key in value}
    if field.is_repeated:
        return [_single(field, element) for element in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return time_text(value)
    if isinstance(value, Message):
        return document(value)
    if field.enum_type is not None:
        return words_of(field.enum_type).get(value)
    if field.GetOptions().Extensions[json_text]:
        return orjson.Fragment(value)
    return value
