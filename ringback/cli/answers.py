"""Prepares answers of the metrics API for a screen."""

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ringback.local.console import printable
from ringback.metrics.message_field import is_part, map_value


def make_printable(answer: Message) -> None:
    """Put every text of an answer on one line. Map keys stay, because equal ones would be lost."""
    for field, value in answer.ListFields():
        if map_value(field) is not None:
            for part in value.values():
                make_printable(part)
        elif is_part(field):
            for part in value if field.is_repeated else (value,):
                make_printable(part)
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(answer, field.name, printable(value))
