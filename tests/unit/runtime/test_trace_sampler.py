"""Which traces the sampler keeps."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from ringback.runtime.observability.trace_sampler import CappedSampler
from tests.unit.clock import Clock

LOW, HIGH = 1, 2**56 - 1
"""Trace ids that the smallest and the largest share keep last and first."""

SPREAD = [number * (2**56 // 1009) for number in range(1, 1009)]


def context_of(trace_id: int, *, sampled: bool, remote: bool, state: str = "") -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(trace_id, 7, remote, flags, TraceState.from_header([state]))


def decide(
    sampler: CappedSampler,
    trace_id: int = HIGH,
    parent: SpanContext | None = None,
    links: Sequence[SpanContext] = (),
) -> SamplingResult:
    within = Context()
    if parent is not None:
        within = set_span_in_context(NonRecordingSpan(parent), within)
    return sampler.should_sample(
        within, trace_id, "a", attributes={"a": 1}, links=[Link(one) for one in links]
    )


def is_kept(result: SamplingResult) -> bool:
    return result.decision is Decision.RECORD_AND_SAMPLE


def state_of(result: SamplingResult) -> str:
    assert result.trace_state is not None
    return result.trace_state.to_header()


def kept_of(sampler: CappedSampler, clock: Clock, *, per_second: int, seconds: float) -> list[int]:
    """The trace ids that are kept of roots at this rate."""
    kept = []
    for number in range(int(per_second * seconds)):
        clock.now_s += 1 / per_second
        trace_id = SPREAD[number * 379 % len(SPREAD)]
        if is_kept(decide(sampler, trace_id)):
            kept.append(trace_id)
    return kept


@pytest.mark.parametrize("is_exhausted", [False, True], ids=["rested", "exhausted"])
@pytest.mark.parametrize(
    ("sampled", "remote", "rested", "exhausted"),
    [
        (True, False, True, True),
        (False, False, False, False),
        (True, True, True, False),
        (False, True, False, False),
    ],
)
def test_a_parent_is_followed_but_a_remote_one_counts(
    *, sampled: bool, remote: bool, rested: bool, exhausted: bool, is_exhausted: bool
) -> None:
    """A part of a kept trace is never missing; another process may ask for too many."""
    clock = Clock()
    sampler = CappedSampler(5, clock)
    if is_exhausted:
        while is_kept(decide(sampler)):
            pass

    result = decide(sampler, parent=context_of(HIGH, sampled=sampled, remote=remote, state="a=b"))

    assert is_kept(result) is (exhausted if is_exhausted else rested)
    assert state_of(result) == "a=b"


def test_links_have_their_own_budget() -> None:
    """Failures stay visible while first attempts exhaust theirs, and the other way around."""
    sampler = CappedSampler(5, Clock())
    unsampled = context_of(3, sampled=False, remote=True)

    roots = sum(is_kept(decide(sampler)) for _ in range(50))
    linked = sum(is_kept(decide(sampler, links=[unsampled])) for _ in range(50))

    assert (roots, linked) == (5, 5)


def test_what_links_to_a_kept_trace_is_kept() -> None:
    """Retries of a kept webhook are kept in excess of the budget, though not without a limit."""
    sampler = CappedSampler(5, Clock())
    links = [context_of(3, sampled=False, remote=True), context_of(3, sampled=True, remote=True)]

    kept = [is_kept(decide(sampler, LOW, links=links)) for _ in range(500)]

    assert kept[:50] == [True] * 50
    assert sum(kept) <= 55


def test_everything_is_kept_at_a_low_rate() -> None:
    """And its tracestate contains the threshold 0: nothing was dropped."""
    clock = Clock()
    sampler = CappedSampler(50, clock)

    assert len(kept_of(sampler, clock, per_second=45, seconds=20)) == 45 * 20
    assert state_of(decide(sampler)) == "ot=th:0"


def test_a_consistent_share_is_kept_at_a_high_rate() -> None:
    """The share fits the limit, and both replicas keep the same traces."""
    clock, other_clock = Clock(), Clock()
    sampler, other = CappedSampler(50, clock), CappedSampler(50, other_clock)
    kept_of(sampler, clock, per_second=1000, seconds=10)
    kept_of(other, other_clock, per_second=1000, seconds=10)

    kept = kept_of(sampler, clock, per_second=1000, seconds=10)

    assert kept == kept_of(other, other_clock, per_second=1000, seconds=10)
    assert 400 <= len(kept) <= 500
    threshold = state_of(decide(sampler, HIGH)).removeprefix("ot=th:")
    share = 1 - int(threshold.ljust(14, "0"), 16) / 2**56
    assert share == pytest.approx(0.045, rel=0.05)
    assert min(kept) >= (1 - share) * 2**56 * 0.99


def test_the_tracestate_has_no_share_while_the_limit_drops() -> None:
    """Nobody knows then how many traces a kept one represents."""
    clock = Clock()
    sampler = CappedSampler(5, clock)
    while is_kept(decide(sampler)):
        pass

    clock.now_s += 0.5
    soon = decide(sampler)
    clock.now_s += 2
    later = decide(sampler)

    assert (is_kept(soon), state_of(soon)) == (True, "")
    assert (is_kept(later), state_of(later)) == (True, "ot=th:0")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("ot=th:8,a=b", r"ot=th:[9a-f][0-9a-f]*,a=b"), ("a=b", "a=b"), ("ot=x:1", "ot=x:1")],
)
def test_the_tracestate_has_the_share_of_what_others_kept(sent: str, expected: str) -> None:
    """The threshold rises from theirs; an unknown share stays unknown."""
    clock = Clock()
    sampler = CappedSampler(50, clock)
    parents = [
        context_of(trace_id, sampled=True, remote=True, state=sent)
        for trace_id in SPREAD
        if trace_id >= 2**55
    ]
    results = []
    for number in range(2000):
        clock.now_s += 0.005
        parent = parents[number * 379 % len(parents)]
        results.append(decide(sampler, parent.trace_id, parent))

    kept = [one for one in results[1000:] if is_kept(one)]
    assert 200 <= len(kept) <= 250
    states = {state_of(one) for one in kept}
    assert all(re.fullmatch(expected, state) for state in states), states


@given(
    per_second=st.sampled_from([0, 0.5, 3, 50]),
    steps=st.lists(
        st.tuples(st.floats(-1, 3), st.integers(1, 60), st.booleans()), min_size=1, max_size=30
    ),
)
def test_the_limit_holds_for_any_arrivals(
    per_second: float, steps: list[tuple[float, int, bool]]
) -> None:
    """Even if the clock stops or jumps back."""
    clock = Clock(0.0)
    sampler = CappedSampler(per_second, clock)
    latest, kept = 0.0, {False: 0, True: 0}
    for step_s, arrivals, linked in steps:
        clock.now_s += step_s
        latest = max(latest, clock.now_s)
        links = [context_of(3, sampled=False, remote=True)] if linked else []
        kept[linked] += sum(is_kept(decide(sampler, links=links)) for _ in range(arrivals))

    burst = max(1, per_second) if per_second else 0
    assert max(kept.values()) <= per_second * latest + burst


@given(ids=st.tuples(st.integers(0, HIGH), st.integers(0, HIGH)).map(sorted))
def test_a_higher_trace_id_is_kept_rather_than_a_lower_one(ids: list[int]) -> None:
    """The decision is one comparison with a threshold, so replicas with other shares agree."""
    low, high = (is_kept(decide(busy_sampler(), trace_id)) for trace_id in ids)

    assert high or not low


@pytest.mark.parametrize(("randomness", "kept"), [("0" * 14, False), ("f" * 14, True)])
def test_randomness_in_the_tracestate_goes_before_the_trace_id(
    randomness: str, *, kept: bool
) -> None:
    """A sender whose trace ids are not random may send its own."""
    trace_id = LOW if kept else HIGH
    parent = context_of(trace_id, sampled=True, remote=True, state=f"ot=rv:{randomness}")

    assert is_kept(decide(busy_sampler(), trace_id, parent)) is kept


def busy_sampler() -> CappedSampler:
    """A sampler that keeps a share, with some room for bursts."""
    clock = Clock()
    sampler = CappedSampler(50, clock)
    kept_of(sampler, clock, per_second=500, seconds=2)
    clock.now_s += 0.5
    return sampler


def test_attributes_of_the_start_are_kept() -> None:
    """A sampler may replace them; ours does not."""
    assert decide(CappedSampler(50, Clock())).attributes == {"a": 1}


@pytest.mark.parametrize("per_second", [0.5, 1, 2])
def test_a_trace_that_begins_alone_is_kept(per_second: float) -> None:
    """Also at a limit so low that one trace is more than that for a moment."""
    clock = Clock()
    sampler = CappedSampler(per_second, clock)
    kept = 0
    for trace_id in SPREAD[:50]:
        clock.now_s += 10
        kept += is_kept(decide(sampler, trace_id))

    assert kept == 50
