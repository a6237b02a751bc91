"""The time range of statistics."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

SHORTEST = timedelta(minutes=15)
LONGEST = timedelta(days=30)
FINEST = timedelta(hours=47)
"""Minutes are kept for 48 hours. A window that reaches further back starts at an hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class BadRange(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  # it names what is bad
    """The text is no range.

    The message has the reason, as the end of a sentence about the field.
    """


@dataclass(frozen=True, slots=True)
class Window:
    """From `start`, a whole minute or hour, up to `end`, the moment of asking."""

    start: datetime
    end: datetime

    @classmethod
    def back(cls, text: str, now: datetime) -> Self:
        """The window of a range such as `15m`, `24h` or `30d` that ends at `now`.

        It begins at the last minute (over 47 hours: the last hour, in UTC) that leaves out no part
        of the range. `now` has a time zone. Raises BadRange.
        """
        span = _span(text)
        grain = timedelta(minutes=1) if span <= FINEST else timedelta(hours=1)
        return cls(_floor(now - span, grain), now)


def _span(text: str) -> timedelta:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise BadRange("is no whole number of minutes, hours or days, such as 15m, 24h or 30d.")
    span = int(match[1]) * _UNITS[match[2]]
    if not SHORTEST <= span <= LONGEST:
        raise BadRange("is not from 15m to 30d.")
    return span


def _floor(moment: datetime, grain: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % grain
