from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.metrics.changes.bulk_pace import (
    LEAST_RATE,
    MOST_UNFINISHED,
    MOST_WAITING,
    Conditions,
    allowed_rate,
    next_turn,
    why_held,
)

QUIET = Conditions(waiting=0, live_per_second=0, is_paused=False)
RATES = st.floats(min_value=0.001, max_value=100)


@given(asked=RATES, live=st.floats(min_value=0, max_value=1e6), waiting=st.integers(0, 200))
def test_it_is_never_faster_than_asked_and_leaves_live_traffic_its_share(
    asked: float, live: float, waiting: int
) -> None:
    """Half of the arrivals, but at least a little; zero while webhooks queue up."""
    rate = allowed_rate(asked, Conditions(waiting, live, is_paused=False))

    assert rate <= asked
    assert rate <= max(LEAST_RATE, live / 2)
    assert (rate == 0) == (waiting >= MOST_WAITING)


def test_a_quiet_night_allows_a_little() -> None:
    """Even when no webhooks arrive."""
    assert allowed_rate(100, QUIET) == LEAST_RATE
    assert allowed_rate(2, QUIET) == 2


def test_half_of_the_live_traffic_is_allowed() -> None:
    """As long as no webhooks wait."""
    assert allowed_rate(100, replace(QUIET, live_per_second=60)) == 30


def test_it_holds_for_each_reason_and_names_it() -> None:
    """So that an observer knows what it waits for."""
    assert why_held(QUIET, unfinished=MOST_UNFINISHED - 1) is None
    assert "paused" in str(why_held(replace(QUIET, is_paused=True), unfinished=0))
    assert "broker" in str(why_held(replace(QUIET, waiting=None), unfinished=0))
    assert "50 webhooks wait" in str(why_held(replace(QUIET, waiting=50), unfinished=0))
    assert "50 retries" in str(why_held(QUIET, unfinished=MOST_UNFINISHED))


@given(last=st.floats(0, 1e6), now=st.floats(0, 1e6), rate=RATES)
def test_a_turn_is_never_early_and_never_past(last: float, now: float, rate: float) -> None:
    """Turns missed while it was paused are not made up for."""
    turn = next_turn(last, now, rate)

    assert turn >= now
    assert turn >= last + 1 / rate
