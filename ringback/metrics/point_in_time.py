"""A point in time as people write it: `2h` for two hours ago, or `2026-01-27T06:30`."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_point_in_time(text: str, now: datetime) -> datetime | None:
    """`2h` is that long before `now`; a time without an offset is in UTC. None if it is neither."""
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
