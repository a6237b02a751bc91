from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringback.runtime.outgoing.breaker import (
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Outcome,
    Permit,
)

OK, FAILED, CANCELLED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED
RULES = BreakerRules()


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker_at(clock: Clock, jitter: float = 0.0) -> CircuitBreaker:
    return CircuitBreaker(RULES, clock=clock, jitter=lambda: jitter)


def call(breaker: CircuitBreaker, outcome: Outcome) -> None:
    permit = breaker.admit()
    assert permit is not None
    breaker.record(permit, outcome)


def opened(clock: Clock, jitter: float = 0.0) -> CircuitBreaker:
    breaker = breaker_at(clock, jitter)
    for _ in range(RULES.failures_in_a_row):
        call(breaker, FAILED)
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ([FAILED] * 4, False),
        ([FAILED] * 5, True),
        ([FAILED] * 4 + [CANCELLED] + [FAILED], True),
        ([FAILED] * 4 + [OK] + [FAILED] * 4, False),
        ([OK, FAILED] * 5, True),
        ([OK, FAILED] * 4 + [OK], False),
        ([OK, OK, FAILED] * 20, False),
        ([CANCELLED] * 20, False),
    ],
)
def test_opens_after_failures_in_a_row_or_by_their_share(
    *, outcomes: list[Outcome], is_open: bool
) -> None:
    breaker = breaker_at(Clock())

    for outcome in outcomes:
        call(breaker, outcome)

    assert (breaker.state is BreakerState.OPEN) is is_open


def test_forgets_failures_that_left_the_window() -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    for outcome in [OK, FAILED] * 4:
        call(breaker, outcome)

    clock.now += RULES.window_s
    for outcome in [OK, FAILED]:
        call(breaker, outcome)

    assert breaker.state is BreakerState.CLOSED


def test_probes_double_until_it_closes() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += RULES.open_s
    sizes = []

    while breaker.state is not BreakerState.CLOSED:
        probes: list[Permit] = []
        while (permit := breaker.admit()) is not None:
            probes.append(permit)
        sizes.append(len(probes))
        for permit in probes:
            breaker.record(permit, OK)

    assert sizes == [1, 2, 4]


def test_stays_open_twice_as_long_after_each_failed_probe() -> None:
    clock = Clock()
    breaker = opened(clock)
    waits = []

    for _ in range(9):
        waits.append(breaker.retry_in_s)
        clock.now += breaker.retry_in_s
        call(breaker, FAILED)

    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_adds_jitter_to_the_wait() -> None:
    assert opened(Clock(), jitter=1.0).retry_in_s == pytest.approx(RULES.open_s * 1.2)


def test_a_cancelled_probe_lets_another_one_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += RULES.open_s

    call(breaker, CANCELLED)

    assert breaker.admit() is not None


@pytest.mark.parametrize("together", [2, 3, 4])
def test_calls_that_are_cancelled_unless_all_are_admitted_close_it(together: int) -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += RULES.open_s

    for _ in range(20):
        permits = [breaker.admit() for _ in range(together)]
        for permit in permits:
            if permit is not None:
                breaker.record(permit, CANCELLED if None in permits else OK)

    assert breaker.state is BreakerState.CLOSED


def test_an_outcome_from_before_it_opened_is_ignored() -> None:
    """Neither does a late success close it, nor does a late failure count against the probes."""
    clock = Clock()
    breaker = breaker_at(clock)
    late = [breaker.admit() for _ in range(7)]
    for permit in late[:5]:
        assert permit is not None
        breaker.record(permit, FAILED)
    assert late[5] is not None
    breaker.record(late[5], OK)
    still_open = breaker.state

    clock.now += RULES.open_s
    call(breaker, OK)
    assert late[6] is not None
    breaker.record(late[6], FAILED)

    assert still_open is BreakerState.OPEN
    assert breaker.state is BreakerState.HALF_OPEN


@pytest.mark.parametrize(
    ("forced", "admitted"),
    [(BreakerState.OPEN, 0), (BreakerState.HALF_OPEN, 1), (BreakerState.CLOSED, 20)],
)
@pytest.mark.parametrize("outcome", [OK, FAILED])
def test_a_forced_state_lasts_whatever_calls_show(
    forced: BreakerState, admitted: int, outcome: Outcome
) -> None:
    clock = Clock()
    breaker = breaker_at(clock)
    breaker.force(forced)

    for _ in range(20):
        permits = [permit for _ in range(20) if (permit := breaker.admit()) is not None]
        assert len(permits) == admitted
        for permit in permits:
            breaker.record(permit, outcome)
        clock.now += 400.0
        breaker.force(forced)

    assert (breaker.state, breaker.forced) == (forced, forced)


def test_a_breaker_that_is_no_longer_forced_open_sends_a_probe() -> None:
    breaker = breaker_at(Clock())
    breaker.force(BreakerState.OPEN)

    while_forced = breaker.next_state
    breaker.force(None)

    assert (while_forced, breaker.next_state) == (BreakerState.OPEN, BreakerState.HALF_OPEN)
    assert breaker.free_permits == 1
    call(breaker, OK)
    assert breaker.state is BreakerState.HALF_OPEN


def test_reports_each_change_once() -> None:
    clock = Clock()
    changes: list[BreakerState] = []
    breaker = CircuitBreaker(RULES, clock=clock, jitter=lambda: 0.0, on_change=changes.append)
    for _ in range(RULES.failures_in_a_row):
        call(breaker, FAILED)
    clock.now += RULES.open_s
    for _ in range(7):
        call(breaker, OK)
    breaker.force(BreakerState.CLOSED)
    breaker.force(None)

    assert changes == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, outcomes, waits and decisions of people."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = breaker_at(self.clock)
        self.pending: list[tuple[Permit, BreakerState]] = []

    @rule()
    def begin(self) -> None:
        was, wait_s = self.breaker.state, self.breaker.retry_in_s
        free, met = self.breaker.free_permits, self.breaker.next_state
        permit = self.breaker.admit()
        assert self.breaker.state is met
        assert (permit is not None) is (free != 0), "It promised something else."
        if was is BreakerState.OPEN and wait_s > 0:
            assert permit is None
        if was is BreakerState.CLOSED:
            assert permit is not None
        if permit is not None:
            self.pending.append((permit, self.breaker.state))

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        permit, admitted_as = self.pending.pop(
            data.draw(st.integers(0, len(self.pending) - 1), label="which")
        )
        before = self.breaker.state
        self.breaker.record(permit, outcome)
        after = self.breaker.state
        if outcome is CANCELLED or before is BreakerState.OPEN or admitted_as is not before:
            assert after is before
        if outcome is FAILED or self.breaker.forced:
            assert after is not BreakerState.CLOSED or before is BreakerState.CLOSED
        if outcome is OK and before is BreakerState.HALF_OPEN:
            assert after is not BreakerState.OPEN
        self.breaker.record(permit, FAILED)
        assert self.breaker.state is after, "A permit counted twice."

    @rule(state=st.sampled_from([*BreakerState, None]))
    def force(self, state: BreakerState | None) -> None:
        was = self.breaker.state
        self.breaker.force(state)
        assert self.breaker.state is (state or was)

    @invariant()
    def keeps_a_forced_state(self) -> None:
        assert self.breaker.forced in {None, self.breaker.state}

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def few_probes(self) -> None:
        if self.breaker.state is BreakerState.HALF_OPEN:
            current = max((permit.generation for permit, _ in self.pending), default=0)
            probes = [one for one, state in self.pending if one.generation == current]
            states = {state for one, state in self.pending if one.generation == current}
            if states == {BreakerState.HALF_OPEN}:
                assert len(probes) <= RULES.max_probes

    def teardown(self) -> None:
        """Once the destination answers again, seven calls are enough."""
        self.breaker.force(None)
        for permit, _ in self.pending:
            self.breaker.record(permit, CANCELLED)
        self.clock.now += self.breaker.retry_in_s
        for _ in range(7):
            call(self.breaker, OK)
        assert self.breaker.state is BreakerState.CLOSED


TestAnyOrder = BreakerMachine.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
