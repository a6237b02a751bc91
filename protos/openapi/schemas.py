"""Messages and their fields as JSON Schema, as requests and answers have them in REST."""

from collections.abc import Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from ringback.metrics.enum_words import words_of
from ringback.metrics.message_field import is_message, is_time, map_value
from ringback.metrics.v1.annotations_pb2 import json_text, shape
from ringback.services.metrics.transport.request_check import MAX_TEXT

Schema = dict[str, Any]

_INT32 = {"type": "integer", "format": "int32"}
_PLAIN: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: _INT32,
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


class Schemas:
    """Collects the schemas of all requested messages and enums by name."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.collected: dict[str, Schema] = {}

    def answer(self, message: Descriptor) -> Schema:
        """A reference. An answer has every field; those that can be unset may be null."""
        if message.name not in self.collected:
            self.collected[message.name] = {}
            properties = {
                field.json_name: self._described(field, self._in_answer(field))
                for field in message.fields
            }
            self.collected[message.name] = self._commented(
                message.full_name,
                {"type": "object", "properties": properties, "required": list(properties)},
            )
        return _reference(message.name)

    def request(self, message: Descriptor, *, without: tuple[str, ...] = ()) -> Schema:
        """A reference. A request allows no other fields, and null leaves a field unset.

        `without` are the fields that the path contains.
        """
        if message.name not in self.collected:
            fields = [field for field in message.fields if field.name not in without]
            properties = {
                field.json_name: self._described(field, self._in_body(field)) for field in fields
            }
            schema: Schema = {
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
            }
            if required := [field.json_name for field in fields if is_required(field)]:
                schema["required"] = required
            self.collected[message.name] = self._commented(message.full_name, schema)
        return _reference(message.name)

    def parameter(self, field: FieldDescriptor) -> Schema:
        """A single value in a query or in a path."""
        return self._enum(field.enum_type) if field.enum_type else _in_parameter(field)

    def comment(self, full_name: str) -> str:
        return self._comments.get(full_name, "")

    def _in_answer(self, field: FieldDescriptor) -> Schema:
        of_map = map_value(field)
        if of_map is not None:
            return {"type": "object", "additionalProperties": self._in_answer_one(of_map)}
        if field.is_repeated:
            return {"type": "array", "items": self._in_answer_one(field)}
        schema = self._in_answer_one(field)
        return _or_null(schema) if field.has_presence or field.enum_type else schema

    def _in_answer_one(self, field: FieldDescriptor) -> Schema:
        if is_time(field):
            return {"type": "string", "format": "date-time"}
        if field.message_type is not None:
            return self.answer(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.GetOptions().Extensions[json_text]:
            return {}
        return dict(_PLAIN[field.cpp_type])

    def _in_body(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and is_message(field):
            return _or_null(self.request(field.message_type))
        schema = self.parameter(field)
        return schema if is_required(field) else _or_null(schema)

    def _enum(self, enum: EnumDescriptor) -> Schema:
        words = words_of(enum)
        lines = [self.comment(enum.full_name)]
        for value in enum.values:
            comment = self.comment(f"{enum.full_name}.{value.name}")
            if value.number in words and comment:
                lines.append(f"- `{words[value.number]}`: {comment}")
        self.collected[enum.name] = {
            "type": "string",
            "enum": list(words.values()),
            "description": "\n".join(lines).strip(),
        }
        return _reference(enum.name)

    def _described(self, field: FieldDescriptor, schema: Schema) -> Schema:
        return self._commented(field.full_name, schema)

    def _commented(self, full_name: str, schema: Schema) -> Schema:
        comment = self.comment(full_name)
        return {**schema, "description": comment} if comment else schema


def is_required(field: FieldDescriptor) -> bool:
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def _in_parameter(field: FieldDescriptor) -> Schema:
    """What a caller may send as the value of a field that is neither a message nor an enum."""
    if is_time(field):
        return {"type": "string", "format": "date-time"}
    schema = dict(_PLAIN[field.cpp_type])
    if schema == _INT32:
        schema |= {"minimum": -(2**31), "maximum": 2**31 - 1}
    elif schema["type"] == "string":
        schema["maxLength"] = MAX_TEXT
        if is_required(field):
            # A blank text counts as missing.
            schema |= {"minLength": 1, "pattern": r"\S"}
    stated = field.GetOptions().Extensions[shape]
    schema |= {each.json_name: _whole(value) for each, value in stated.ListFields()}
    return schema if is_required(field) else _or_empty(schema)


def _whole(value: float | str) -> float | str:
    """A bound without a fraction that it does not need."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _or_empty(schema: Schema) -> Schema:
    """The contract treats an empty text as absent."""
    for name in ("format", "pattern"):
        if schema["type"] == "string" and name in schema:
            schema["anyOf"] = [{name: schema.pop(name)}, {"maxLength": 0}]
    return schema


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema
