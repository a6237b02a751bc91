"""Distinguishes the kinds of message fields: times, other messages, maps."""

from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_TIME = "google.protobuf.Timestamp"


def descriptor_of(message: Message) -> Descriptor:
    # The stubs have a second class with the same attributes.
    return cast("Descriptor", message.DESCRIPTOR)


def field_named(message: Message, name: str) -> FieldDescriptor | None:
    """The field with that name, in the contract's spelling or in camelCase."""
    descriptor = descriptor_of(message)
    field = descriptor.fields_by_name.get(name)
    return descriptor.fields_by_camelcase_name.get(name) if field is None else field


def is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _TIME


def is_message(field: FieldDescriptor) -> bool:
    """Whether its type is a message with fields (not a time), also in a list."""
    return field.message_type is not None and not is_time(field)


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """The type of a map's values; None if the field is not a map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def set_value(message: Message, field: FieldDescriptor, value: Any) -> None:
    """Set a field that is not a message, a list or a map."""
    if is_time(field):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)
