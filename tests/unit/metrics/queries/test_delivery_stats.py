"""Tests for the answer that is computed from counts by event type."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.metrics.queries.delivery_stats import (
    MAX_TYPES,
    Counts,
    Window,
    response_of,
    summary_of,
)

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


def test_many_types_end_in_other() -> None:
    """The hundred largest keep their names; the rest is summed up, and nothing is lost."""
    by_type = {f"t{n:03}": Counts(completed=n + 1, attempts=1) for n in range(150)}

    response = response_of("24h", WINDOW, by_type)

    assert len(response.by_event_type) == MAX_TYPES + 1
    assert min(set(response.by_event_type) - {"other"}) == "t050"
    assert response.by_event_type["other"].total == sum(range(1, 51))
    assert response.summary.total == sum(range(1, 151))


def test_a_type_that_is_called_other_joins_the_rest() -> None:
    """Large or small, it is counted once and hides nothing."""
    for size in (1, 10_000):
        by_type = {f"t{n:03}": Counts(completed=2) for n in range(150)}
        by_type["other"] = Counts(completed=size)

        response = response_of("24h", WINDOW, by_type)

        parts = response.by_event_type.values()
        assert sum(part.total for part in parts) == response.summary.total == 300 + size
