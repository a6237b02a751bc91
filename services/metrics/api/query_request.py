"""The parameters of a query, and those in a path, as a request message."""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ringback.metrics.message_field import (
    descriptor_of,
    field_named,
    is_part,
    map_value,
    set_value,
)
from services.metrics.api.json_value import from_text
from services.metrics.api.violations import Violations


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
        found = _find(message, name)
        if found is None:
            violations.add(name, "is not a parameter of this request")
            continue
        part, field, path = found
        if path in elsewhere:
            violations.add(path, "stands in the path, and must not stand in the query")
        elif path in seen and not field.is_repeated:
            violations.add(path, "is given more than once")
        else:
            seen.add(path)
            with violations.of(path):
                _put(part, field, text)
    violations.raise_if_any()


def read_path(variables: Mapping[str, str], message: Message) -> None:
    """Fill `message` from decoded parts of a path. Raises ApiError as read_query does."""
    violations = Violations()
    for name, text in variables.items():
        with violations.of(name):
            _put(message, descriptor_of(message).fields_by_name[name], text)
    violations.raise_if_any()


def _find(message: Message, name: str) -> tuple[Message, FieldDescriptor, str] | None:
    """The message that has the field, the field, and its path; None if there is no such field."""
    *parents, last = name.split(".")
    part = message
    path = ""
    for parent in parents:
        field = field_named(part, parent)
        if field is None or field.is_repeated or not is_part(field):
            return None
        part = getattr(part, field.name)
        path += f"{field.name}."
    field = field_named(part, last)
    if field is None or is_part(field) or map_value(field) is not None:
        return None
    return part, field, path + field.name


def _put(part: Message, field: FieldDescriptor, text: str) -> None:
    value = from_text(field, text)
    if field.is_repeated:
        getattr(part, field.name).append(value)
    else:
        set_value(part, field, value)
