"""Times in UTC as text."""

from datetime import UTC, datetime


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """A time with an offset as in `2026-01-27T06:30:00Z`; `timespec` is that of `isoformat`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"
