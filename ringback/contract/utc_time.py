"""Times in UTC and durations as text."""

from datetime import UTC, datetime

_MILLISECOND_S, _MINUTE_S, _HOUR_S, _DAY_S = 0.001, 60, 3600, 86_400


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """A time with an offset as in `2026-01-27T06:30:00Z`; `timespec` is that of `isoformat`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def in_seconds(seconds: float) -> str:
    """A duration in one unit: `12 ms`, `4.0 s`, `4 min`, `3 h`, `12 days`."""
    if seconds < _MILLISECOND_S:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h"
    return f"{seconds // _DAY_S:.0f} days"
