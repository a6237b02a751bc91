"""Reads the header Retry-After."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def retry_after_s(header: str, *, now_s: float, max_s: float) -> float | None:
    """Seconds that the header asks to wait, at most `max_s`. None if it cannot be read.

    It is a number of seconds, or a date: `120`, or `Wed, 21 Oct 2026 07:28:00 GMT`.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), max_s)
    try:
        date = parsedate_to_datetime(text)
        # Dates without a zone are in UTC, too.
        at_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at_s - now_s), max_s)
