"""Reads the parts of a message that its dedup key is made of."""

import re
from typing import Any

from services.gateway.fallback_hash import digest_of

ABSENT = "-"

_NUMBER_OF_TIME = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_DATE_AND_TIME = re.compile(r"[12][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5]")
_ZERO = re.compile(r"1970-01-01[T ]00:00:00(\.0+)?(Z|\+00:00)?")

Message = dict[str, Any]


class PartMissingError(Exception):
    """The message lacks a part that its key needs."""


def at(message: Message, path: str) -> Any:
    """The value at a path such as `call.id`; None where there is none."""
    value: Any = message
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def need(message: Message, *paths: str) -> str:
    """The first of these parts that is present, as text."""
    for path in paths:
        value = at(message, path)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return repr(value)
    raise PartMissingError(paths)


def have(message: Message, path: str) -> str:
    """This part as text, or a mark that it is absent; nested values as a hash."""
    value = at(message, path)
    if value is None:
        return ABSENT
    is_text = isinstance(value, str) and value not in {"", ABSENT}
    return value if is_text else digest_of(value)


def time_in(message: Message, path: str = "timestamp") -> str:
    """The time in a message as text: a number, or a date with a time of day. No clock's zero."""
    value = need(message, path)
    is_number = _NUMBER_OF_TIME.fullmatch(value) and float(value) > 0
    is_date = _DATE_AND_TIME.match(value) and not _ZERO.fullmatch(value)
    if is_number or is_date:
        return value
    raise PartMissingError(path)


def items(message: Message, path: str) -> list[Any]:
    value = at(message, path)
    return value if isinstance(value, list) else []
