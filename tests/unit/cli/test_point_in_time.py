from datetime import UTC, datetime, timedelta, timezone

import pytest

from ringback.cli.commands.bulk_retry import point_in_time
from ringback.cli.terminal import BadInputError

NOW = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T12:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00+02:00", datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_time_is_what_a_person_means(text: str, meant: datetime) -> None:
    """A duration before now, or a date; without a zone it is UTC."""
    assert point_in_time(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "h", "-2h", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """The error names valid forms."""
    with pytest.raises(BadInputError, match="2h for two hours ago"):
        point_in_time(text, NOW)
