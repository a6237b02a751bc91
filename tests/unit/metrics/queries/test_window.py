"""Tests for the time ranges of statistics."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.queries.delivery_stats import (
    MAX_MINUTE_RANGE,
    MAX_RANGE,
    MIN_RANGE,
    InvalidRangeError,
    Window,
)

MINUTES = {"m": 1, "h": 60, "d": 24 * 60}
NOW = datetime(2026, 1, 27, 6, 30, 15, 250_000, tzinfo=UTC)

moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # ruff: ignore[call-datetime-without-tzinfo]  # hypothesis adds it
    max_value=datetime(2100, 1, 1),  # ruff: ignore[call-datetime-without-tzinfo]  # hypothesis adds it
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
good_ranges = st.one_of(
    st.integers(15, 30 * 24 * 60).map(lambda n: f"{n}m"),
    st.integers(1, 30 * 24).map(lambda n: f"{n}h"),
    st.integers(1, 30).map(lambda n: f"{n}d"),
)


def span_of(text: str) -> timedelta:
    return timedelta(minutes=int(text[:-1]) * MINUTES[text[-1]])


@given(text=good_ranges, now=moments)
def test_a_window_covers_its_range_and_less_than_a_grain_more(text: str, now: datetime) -> None:
    """It ends now and begins at a whole minute; at a whole hour when it reaches beyond 47 hours."""
    window = Window.back(text, now)

    span = span_of(text)
    grain = timedelta(minutes=1) if span <= MAX_MINUTE_RANGE else timedelta(hours=1)
    assert window.end == now
    assert span <= window.end - window.start < span + grain
    assert window.start.timestamp() % grain.total_seconds() == 0


@given(text=good_ranges, seconds=st.integers(0, 3600), now=moments)
def test_windows_move_on_with_time(text: str, seconds: int, now: datetime) -> None:
    """A later window of the same range never begins earlier."""
    first = Window.back(text, now)
    later = Window.back(text, now + timedelta(seconds=seconds))

    assert first.start <= later.start


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("15m", datetime(2026, 1, 27, 6, 15, tzinfo=UTC)),
        ("24h", datetime(2026, 1, 26, 6, 30, tzinfo=UTC)),
        ("1d", datetime(2026, 1, 26, 6, 30, tzinfo=UTC)),
        ("47h", datetime(2026, 1, 25, 7, 30, tzinfo=UTC)),
        ("2821m", datetime(2026, 1, 25, 7, 0, tzinfo=UTC)),  # 47 hours and a minute
        ("30d", datetime(2025, 12, 28, 6, 0, tzinfo=UTC)),
        ("720h", datetime(2025, 12, 28, 6, 0, tzinfo=UTC)),
        ("015m", datetime(2026, 1, 27, 6, 15, tzinfo=UTC)),
    ],
)
def test_known_ranges(text: str, start: datetime) -> None:
    """Minutes, hours and days are distinguished, and each is rounded down its own way."""
    assert Window.back(text, NOW) == Window(start, NOW)


@given(text=st.one_of(st.text(max_size=8), st.from_regex(r"-?[0-9.,]{0,9} ?[mhdswy]?")))
def test_any_text_is_a_range_within_the_bounds_or_refused(text: str) -> None:
    """It raises nothing else."""
    try:
        window = Window.back(text, NOW)
    except InvalidRangeError:
        return

    assert MIN_RANGE <= NOW - window.start < MAX_RANGE + timedelta(hours=1)


@pytest.mark.parametrize(
    "text", ["", "24", "h", "14m", "0h", "31d", "721h", "43201m", "-1h", "1.5h", "1h ", "1H",
             "\u0661h", "1h\n", "99999999d", "1w", "1h30m"],
)  # fmt: skip
def test_an_invalid_range_is_rejected(text: str) -> None:
    """Out of bounds, another unit, another digit, or more than a number and a unit."""
    with pytest.raises(InvalidRangeError, match=r"^must be .+ 30d\.$"):
        Window.back(text, NOW)
