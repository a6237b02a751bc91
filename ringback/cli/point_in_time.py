import re
from datetime import UTC, datetime, timedelta

from ringback.cli.failure import BadInputError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def point_in_time(text: str, now: datetime) -> datetime:
    """What a person means by `2h` (so long before `now`) or `2026-01-27T06:30`, else UTC.

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
