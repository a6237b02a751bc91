"""Shifts the times of a recorded payload, so that an old call happens now."""

import re
from datetime import datetime, timedelta
from typing import Any

import orjson

_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
#: Numbers in this range, from 2014 to 2033, are times in milliseconds; no price is so large.
_EPOCH_MS = range(1_400_000_000_000, 2_000_000_000_000)


def moved(payload: bytes, by_ms: int) -> bytes:
    """The same JSON with every time in it shifted by `by_ms`."""
    return orjson.dumps(_moved(orjson.loads(payload), by_ms))


def sent_at_ms(payload: bytes) -> int:
    """The time in `message.timestamp` of a sample, in milliseconds since 1970."""
    return int(orjson.loads(payload)["message"]["timestamp"])


def _moved(value: Any, by_ms: int) -> Any:
    match value:
        case dict():
            return {name: _moved(member, by_ms) for name, member in value.items()}
        case list():
            return [_moved(item, by_ms) for item in value]
        case str() if _ISO_TIME.fullmatch(value):
            moment = datetime.fromisoformat(value) + timedelta(milliseconds=by_ms)
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case int() | float() if not isinstance(value, bool) and int(value) in _EPOCH_MS:
            return value + by_ms
        case _:
            return value
