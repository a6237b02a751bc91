"""The time range of statistics, and the numbers in the answer."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.metrics.queries.delivery_stats import (
    MAX_MINUTE_RANGE,
    MAX_RANGE,
    MAX_TYPES,
    MIN_RANGE,
    Counts,
    InvalidRangeError,
    Window,
    response_of,
    summary_of,
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


WINDOW = Window(datetime(2026, 1, 26, 6, 30, tzinfo=UTC), datetime(2026, 1, 27, 6, 30, tzinfo=UTC))

counts = st.builds(Counts, *[st.integers(0, 10**12)] * 6)


def test_the_published_example() -> None:
    """153 of 156 is 98.08 %; 175 attempts for 156 webhooks are 1.12 each."""
    response = response_of(
        "24h",
        WINDOW,
        {
            "call.ended": Counts(completed=42, failed=1, attempts=45),
            "call.started": Counts(completed=111, failed=1, dead_letter=1, attempts=130),
        },
    )

    assert response.time_range == "24h"
    summary = response.summary
    assert (summary.total, summary.completed, summary.failed) == (156, 153, 2)
    assert (summary.dead_letter, summary.pending, summary.duplicates) == (1, 0, 0)
    assert (summary.success_rate, summary.avg_attempts) == ("98.08%", "1.12")
    ended = response.by_event_type["call.ended"]
    assert (ended.total, ended.completed, ended.failed) == (43, 42, 1)
    started = response.by_event_type["call.started"]
    assert (started.failed, started.dead_letter) == (2, 1)
    assert response.start_time.ToDatetime(UTC) == WINDOW.start
    assert response.end_time.ToDatetime(UTC) == WINDOW.end


def test_without_finished_webhooks_the_success_rate_is_zero() -> None:
    """Without a finished webhook the rates are 0, in the shape that they always have."""
    for nothing in (Counts(), Counts(pending=3, duplicates=2)):
        summary = summary_of(nothing)

        assert (summary.success_rate, summary.avg_attempts) == ("0.00%", "0.00")
        assert (summary.success_ratio, summary.average_attempts) == (0, 0)
        assert summary.total == nothing.pending


@given(by_type=st.dictionaries(st.text(max_size=4), counts, max_size=5))
def test_parts_make_the_whole(by_type: dict[str, Counts]) -> None:
    """The types together are the summary, and each total is the sum of its kinds."""
    response = response_of("24h", WINDOW, by_type)

    parts = response.by_event_type.values()
    summary = response.summary
    assert sum(part.total for part in parts) == summary.total
    assert sum(part.completed for part in parts) == summary.completed
    assert sum(part.failed for part in parts) == summary.failed + summary.dead_letter
    assert sum(part.pending for part in parts) == summary.pending
    assert sum(part.duplicates for part in parts) == summary.duplicates
    for part in parts:
        assert part.total == part.completed + part.failed + part.pending
    assert 0 <= summary.success_ratio <= 1


@pytest.mark.parametrize("size", [None, 1, 10_000])
def test_many_types_end_in_other(size: int | None) -> None:
    """The hundred largest keep their names; the rest is summed up, and nothing is lost.

    A type that is called other, large or small, joins the rest and hides nothing.
    """
    by_type = {f"t{n:03}": Counts(completed=n + 1, attempts=1) for n in range(150)}
    if size is not None:
        by_type["other"] = Counts(completed=size)

    response = response_of("24h", WINDOW, by_type)

    kept = set(response.by_event_type) - {"other"}
    others = 150 - len(kept)
    assert len(kept) == MAX_TYPES - (size == 10_000)
    assert min(kept) == f"t{others:03}"
    assert response.by_event_type["other"].total == sum(range(1, others + 1)) + (size or 0)
    assert response.summary.total == sum(range(1, 151)) + (size or 0)
