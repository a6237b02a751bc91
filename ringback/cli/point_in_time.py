import re
from datetime import UTC, datetime, timedelta

from ringback.cli.failure import BadInputError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def point_in_time(text: str, now: datetime) -> datetime:
    """Parse `2h` (that long before `now`) or `2026-01-27T06:30`, by default in UTC.

    Raises BadInputError.
    """
    ago = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadInputError(
            f"{text!r} is no time such as 2026-01-27T06:30, or 2h for two hours ago."
        ) from exc
    return given if given.tzinfo else given.replace(tzinfo=UTC)
