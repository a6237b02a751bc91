"""A circuit breaker: stops calls to a destination that keeps failing. Pure; it does no I/O.

    closed ── too many failures ──▶ open ── after a time ─▶ half-open ── probes succeed ──▶ closed
                                     ▲                           │
                                     └────── a probe fails ──────┘   (open for twice as long)

Half-open admits one probe at a time, then two, then four. Each state has a new generation, and the
outcome of a call that an earlier generation admitted is ignored: a slow success from before the
failures does not prove that the destination has recovered.

It also admits more after some probes that showed nothing. A caller that makes two calls at once
cancels the first when the second is refused: with one probe at a time it would never succeed.

A person can force a state, which then lasts whatever the calls show.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_MAX_DOUBLINGS = 16
_JITTER = 0.2
_CANCELLED_PROBES = 5
"""After so many probes that showed nothing, more are admitted at once."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, and for how long.

    It opens when `failed_share` of at least `min_calls` calls in the window failed, or after
    `failures_in_a_row`.
    """

    window_s: float = 30.0
    buckets: int = 10
    min_calls: int = 10
    failed_share: float = 0.5
    failures_in_a_row: int = 5
    open_s: float = 5.0
    max_open_s: float = 300.0
    max_probes: int = 4


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: The caller gave up, or the call shows nothing about the destination.
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Permit:
    """Permission for one call. Its outcome counts once."""

    generation: int
    is_used: bool = False


@dataclass(slots=True)
class _Bucket:
    number: int
    calls: int = 0
    failed: int = 0


class CircuitBreaker:
    """Not thread-safe. Record an outcome for every permit, or a probe may be blocked forever."""

    def __init__(
        self,
        rules: BreakerRules | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # not a secret
        on_change: Callable[[BreakerState], None] | None = None,
    ) -> None:
        self._rules = rules or BreakerRules()
        self._on_change = on_change
        self._forced: BreakerState | None = None
        self._clock = clock
        self._jitter = jitter
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._window: deque[_Bucket] = deque(maxlen=self._rules.buckets)
        self._failed_in_a_row = 0
        self._reopen_count = 0
        self._opens_until = 0.0
        self._max_probes = 1
        self._probes_in_flight = 0
        self._succeeded_probes = 0
        self._cancelled_probes = 0

    @property
    def forced(self) -> BreakerState | None:
        """The state in which a person keeps it."""
        return self._forced

    @property
    def state(self) -> BreakerState:
        """It changes from open to half-open only when `admit` admits the first probe."""
        return self._state

    @property
    def next_state(self) -> BreakerState:
        """The state that the next call would meet: half-open if it would be the first probe."""
        is_over = self._state is BreakerState.OPEN and not self.retry_in_s
        return BreakerState.HALF_OPEN if is_over else self._state

    @property
    def retry_in_s(self) -> float:
        """Seconds until a probe may be admitted; 0 unless open.

        If a person forced it open, nobody knows: it is then the time of the first wait.
        """
        if self._state is not BreakerState.OPEN:
            return 0.0
        if self._forced:
            return self._rules.open_s
        return max(0.0, self._opens_until - self._clock())

    @property
    def free_permits(self) -> int | None:
        """How many calls it would admit now; None for any number."""
        if self._state is BreakerState.CLOSED:
            return None
        if self._state is BreakerState.HALF_OPEN:
            return self._max_probes - self._probes_in_flight
        return 0 if self.retry_in_s else 1

    def force(self, state: BreakerState | None) -> None:
        """Keep it in a state: open admits nothing, half-open one call at a time, closed all.

        None ends that; from open, the next call is then a probe.
        """
        if self._forced is state:
            return
        self._forced = state
        self._reopen_count = 0
        self._opens_until = self._clock()
        self._become(state or self._state)

    def admit(self) -> Permit | None:
        """Return permission for a call; None if the destination must not be called now."""
        if self.next_state is not self._state:
            self._become(self.next_state)
        if self._state is BreakerState.OPEN:
            return None
        if self._state is BreakerState.HALF_OPEN:
            if self._probes_in_flight >= self._max_probes:
                return None
            self._probes_in_flight += 1
        return Permit(self._generation)

    def record(self, permit: Permit, outcome: Outcome) -> None:
        """Record how a permitted call ended. Only the first outcome of a permit counts."""
        if permit.is_used:
            return
        permit.is_used = True
        if permit.generation != self._generation:
            return
        if self._forced:
            self._probes_in_flight = max(0, self._probes_in_flight - 1)
        elif self._state is BreakerState.HALF_OPEN:
            self._record_probe(outcome)
        elif outcome is not Outcome.CANCELLED:
            self._count(is_failed=outcome is Outcome.FAILED)
            if self._is_too_bad():
                self._open()

    def _record_probe(self, outcome: Outcome) -> None:
        self._probes_in_flight -= 1
        if outcome is Outcome.CANCELLED:
            self._cancelled_probes += 1
            if self._cancelled_probes % _CANCELLED_PROBES == 0:
                self._max_probes = min(self._max_probes * 2, self._rules.max_probes)
            return
        if outcome is Outcome.FAILED:
            self._reopen_count += 1
            self._open()
            return
        self._succeeded_probes += 1
        if self._succeeded_probes < self._max_probes:
            return
        if self._max_probes >= self._rules.max_probes:
            self._reopen_count = 0
            self._become(BreakerState.CLOSED)
        else:
            self._max_probes *= 2
            self._succeeded_probes = 0

    def _count(self, *, is_failed: bool) -> None:
        number = self._bucket_number()
        if not self._window or self._window[-1].number != number:
            self._window.append(_Bucket(number))
        bucket = self._window[-1]
        bucket.calls += 1
        bucket.failed += is_failed
        self._failed_in_a_row = self._failed_in_a_row + 1 if is_failed else 0

    def _is_too_bad(self) -> bool:
        if self._failed_in_a_row >= self._rules.failures_in_a_row:
            return True
        oldest = self._bucket_number() - self._rules.buckets
        recent = [bucket for bucket in self._window if bucket.number > oldest]
        calls = sum(bucket.calls for bucket in recent)
        failed = sum(bucket.failed for bucket in recent)
        return calls >= self._rules.min_calls and failed >= self._rules.failed_share * calls

    def _bucket_number(self) -> int:
        return int(self._clock() // (self._rules.window_s / self._rules.buckets))

    def _open(self) -> None:
        doublings = min(self._reopen_count, _MAX_DOUBLINGS)
        open_s = min(self._rules.open_s * 2**doublings, self._rules.max_open_s)
        # With jitter, so that all gateways do not probe at the same moment.
        self._opens_until = self._clock() + open_s * (1 + _JITTER * self._jitter())
        self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        is_new = state is not self._state
        self._state = state
        self._generation += 1
        self._window.clear()
        self._failed_in_a_row = 0
        self._begin_probes()
        if is_new and self._on_change is not None:
            self._on_change(state)

    def _begin_probes(self) -> None:
        self._max_probes = 1
        self._probes_in_flight = 0
        self._succeeded_probes = 0
        self._cancelled_probes = 0


class Destination:
    """Calls that share a limit and a breaker. They do not delay calls to other destinations."""

    def __init__(self, max_in_flight: int, breaker: CircuitBreaker | None = None) -> None:
        self.max_in_flight = max_in_flight
        self.breaker = breaker or CircuitBreaker()
        self.in_flight = 0

    @property
    def is_busy(self) -> bool:
        """Whether as many calls are in flight as are allowed."""
        return self.in_flight >= self.max_in_flight

    def begin(self) -> Permit | None:
        """Begin a call; None if it is busy or the breaker admits none. End each permit."""
        permit = None if self.is_busy else self.breaker.admit()
        self.in_flight += permit is not None
        return permit

    def end(self, permit: Permit, outcome: Outcome, error: BaseException | None = None) -> None:
        """End a call. `error` is what it raised, for a subclass that reports it."""
        del error
        self.in_flight -= 1
        self.breaker.record(permit, outcome)
