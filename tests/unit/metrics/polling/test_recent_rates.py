"""Rates from counts that are read every second."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ringback.services.metrics.polling.recent_rates import LastDay, RecentRates
from tests.unit.metrics.queries.queue_states import last_day

COUNTS = last_day(completed=100, failed=10, dead_letters=3, attempts=120, accepted=140)


def later(counts: LastDay, minutes: int, **grown: int) -> LastDay:
    return replace(
        counts,
        counted_from=counts.counted_from + timedelta(minutes=minutes),
        **{name: getattr(counts, name) + by for name, by in grown.items()},
    )


def test_rates_are_differences_of_counts() -> None:
    """An attempt that did not complete its webhook failed."""
    recent = RecentRates()
    recent.add(COUNTS, 0)
    before = recent.rates()
    recent.add(later(COUNTS, 0, completed=4, failed=1, dead_letters=1, attempts=7, accepted=8), 2)

    rates = recent.rates()

    assert before is None
    assert rates is not None
    assert (rates.accepted, rates.completed, rates.measured_s) == (4, 2, 2)
    assert (rates.failed_attempts, rates.dead_lettered) == (1.5, 0.5)


def test_counts_of_different_minutes_are_not_compared() -> None:
    """The oldest minute has left the counts, which is no negative rate."""
    recent = RecentRates()
    recent.add(COUNTS, 0)
    recent.add(later(COUNTS, 1, completed=-50, accepted=-50), 1)
    between = recent.rates()
    recent.add(later(COUNTS, 1, completed=-48, accepted=-46), 2)

    rates = recent.rates()

    assert between is None
    assert rates is not None
    assert (rates.accepted, rates.completed, rates.measured_s) == (4, 2, 1)


@pytest.mark.parametrize(("outage_s", "measured_s", "completed"), [(5, 6, 3), (100, 1, 6)])
def test_an_outage_is_measured_while_it_is_in_the_last_minute(
    outage_s: int, measured_s: int, completed: int
) -> None:
    """A longer one leaves only what was counted after it."""
    recent = RecentRates()
    for at_s, count in ((0, 0), (outage_s, 12), (outage_s + 1, 18)):
        recent.add(later(COUNTS, 0, completed=count), at_s)

    rates = recent.rates()

    assert rates is not None
    assert (rates.measured_s, rates.completed) == (measured_s, completed)
