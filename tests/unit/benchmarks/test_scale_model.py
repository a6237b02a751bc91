"""Tests for benchmarks.scale_model: the formulas by known values, and the page by its numbers."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import capacity
from benchmarks.demands import read
from benchmarks.scale_model import (
    Place,
    buckets,
    installations,
    limits,
    processors,
    rate_of_buckets,
    replicas,
    slots_needed,
    tables,
    waiting_probability,
    waiting_s,
)
from tests.architecture.source import ROOT


@pytest.mark.parametrize(
    ("slots", "load", "expected"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (10, 8.0, 0.4092), (5, 5.0, 1.0)],
)
def test_erlang_c_has_its_known_values(slots: int, load: float, expected: float) -> None:
    """The values of textbooks; with one slot, it is the utilisation."""
    assert waiting_probability(slots, load) == pytest.approx(expected, abs=1e-4)


def test_one_slot_waits_as_in_m_m_1() -> None:
    """At half load, the 99th percentile of the waits is ln(50) service times."""
    waits = waiting_s(1, per_s=5.0, service_s=0.1)

    assert waits == pytest.approx(math.log(0.5 / 0.01) / (10 - 5))


@given(per_s=st.floats(1, 200), service_s=st.floats(0.0005, 1.0), within_s=st.floats(0.01, 2.0))
def test_the_smallest_sufficient_number_of_slots_is_found(
    per_s: float, service_s: float, within_s: float
) -> None:
    """With one slot less, more than one percent would wait longer."""
    slots = slots_needed(per_s, service_s, within_s)

    assert waiting_s(slots, per_s, service_s) <= within_s
    assert waiting_s(slots - 1, per_s, service_s) > within_s


@given(per_s=st.floats(0.1, 1e6), cost_ms=st.floats(0.01, 100))
def test_no_replica_is_too_busy(per_s: float, cost_ms: float) -> None:
    """With one replica less, all of them would be."""
    count = replicas(per_s, cost_ms, busy=0.6)

    assert per_s * cost_ms / 1000 / count <= 0.6 * (1 + 1e-9)
    assert count == 1 or per_s * cost_ms / 1000 / (count - 1) > 0.6 * (1 - 1e-9)


def test_slow_handlers_need_more_processors() -> None:
    """Then the slots are the bottleneck, not processor time."""
    demands = read()
    quick, slow = (processors(1_000, handler_s, demands) for handler_s in (0.0, 0.5))

    assert quick == replicas(1_000, demands.processor_ms)
    assert slow >= 1_000 * 0.5 / 5


@given(organisations=st.integers(1, 1_000_000), per_s=st.floats(0.1, 20_000))
def test_rate_of_buckets_inverts_buckets(organisations: int, per_s: float) -> None:
    """As long as not every organisation has traffic in every minute."""
    made = buckets(per_s, organisations)

    if per_s * 60 < 5 * organisations * 5:
        assert rate_of_buckets(made, organisations) == pytest.approx(per_s, rel=1e-3)


def test_limits_are_sorted_and_grow_with_capacity() -> None:
    """A disk of ten times the size is full at ten times the rate."""
    demands, place = read(), Place()
    first = limits(place, 1_000, demands)[0]
    more = limits(replace(place, stored_tb=place.stored_tb * 10), 1_000, demands)

    assert first.what.startswith("disk of the log")
    disk = next(limit for limit in more if limit.what.startswith("disk of the log"))
    assert disk.full_at_per_s == pytest.approx(first.full_at_per_s * 10)
    assert [limit.full_at_per_s for limit in more] == sorted(limit.full_at_per_s for limit in more)


def test_no_installation_is_full() -> None:
    """With one installation less, each of them would be."""
    demands, place = read(), Place()
    count = installations(10_000, 100_000, place, demands)

    assert 10_000 / count <= limits(place, 100_000 // count, demands)[0].full_at_per_s
    fewer = limits(place, 100_000 // (count - 1), demands)[0].full_at_per_s
    assert 10_000 / (count - 1) > fewer


def test_the_pages_contain_the_models_tables() -> None:
    """`benchmarks.scale_model` and `benchmarks.capacity` print them."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    how_to = (ROOT / "docs" / "how-to" / "plan-capacity.md").read_text(encoding="utf-8")

    for line in tables(10_000, 100_000, Place(), read()):
        assert line in page, line
    for line in capacity.table(read()):
        assert line in how_to, line
