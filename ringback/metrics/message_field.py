"""The kinds of fields that a message can have, for those who walk over them."""

from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_TIME = "google.protobuf.Timestamp"


def descriptor_of(message: Message) -> Descriptor:
    # The stubs know a second class, which answers the same.
    return cast("Descriptor", message.DESCRIPTOR)


def field_named(message: Message, name: str) -> FieldDescriptor | None:
    """The field of that name, as the contract writes it or in camelCase."""
    descriptor = descriptor_of(message)
    field = descriptor.fields_by_name.get(name)
    return descriptor.fields_by_camelcase_name.get(name) if field is None else field


def is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _TIME


def is_part(field: FieldDescriptor) -> bool:
    """Whether it is, or its elements are, a message with fields of its own."""
    return field.message_type is not None and not is_time(field)


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """What the values of a map are; None if the field is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def set_value(message: Message, field: FieldDescriptor, value: Any) -> None:
    """Set a field that is neither a part, nor a list, nor a map."""
    if is_time(field):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)
