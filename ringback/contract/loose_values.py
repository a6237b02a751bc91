"""Reads numbers and times as senders write them: in several forms, or not at all."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

_MAX_NUMBER = 40
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST_AFTER_NOW = timedelta(days=2)
#: The units of an epoch time per second, and the number below which a time has that unit.
_EPOCH_UNITS = ((1, 1e11), (1e3, 1e14), (1e6, 1e17), (1e9, 1e20))


def number_of(value: Any, *, maximum: float = math.inf) -> float | None:
    """A number from 0 to `maximum`, which may be written as text."""
    if isinstance(value, str) and len(value) <= _MAX_NUMBER and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and 0 <= number <= maximum else None


def time_of(value: Any, now: datetime) -> datetime | None:
    """A time from the year 2000 to two days after `now`: ISO 8601, or a time since the epoch.

    The size of a number shows whether it counts seconds, or thousandths, millionths or billionths.
    """
    number = number_of(value)
    moment = None if number is None else _epoch_time(number)
    if moment is None and isinstance(value, str) and len(value) <= _MAX_NUMBER:
        moment = _iso_time(value.strip())
    latest = now + _LATEST_AFTER_NOW
    return moment if moment is not None and EARLIEST <= moment <= latest else None


def _epoch_time(number: float) -> datetime | None:
    for per_second, below in _EPOCH_UNITS:
        if number < below:
            return datetime.fromtimestamp(number / per_second, UTC)
    return None


def _iso_time(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
