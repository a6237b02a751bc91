"""Limits of open connections: how many, how long they may be idle, and which are evicted."""

from collections import Counter
from dataclasses import dataclass, field

import pytest

from ringback.runtime.http.connection_limits import (
    MAX_HEAD_BYTES,
    TRUSTED_IDLE_S,
    UNTRUSTED_IDLE_S,
    CloseReason,
    ConnectionLimits,
)
from tests.unit.clock import Clock


@dataclass(eq=False)
class FakeConnection:
    """Records the reasons for which it was closed."""

    reasons: list[CloseReason] = field(default_factory=list)

    def close_for(self, reason: CloseReason) -> None:
        self.reasons.append(reason)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def closed() -> Counter[CloseReason]:
    return Counter()


@pytest.fixture
def connections(clock: Clock, closed: Counter[CloseReason]) -> ConnectionLimits:
    return ConnectionLimits(
        3,
        on_close=lambda reason: closed.update([reason]),
        clock=clock,
        max_partial_heads_bytes=MAX_HEAD_BYTES + 10,
    )


def opened(connections: ConnectionLimits, count: int) -> list[FakeConnection]:
    made = [FakeConnection() for _ in range(count)]
    for one in made:
        connections.opened(one)
    return made


def test_the_untrusted_connection_idle_longest_is_evicted(
    connections: ConnectionLimits, closed: Counter[CloseReason]
) -> None:
    """A new connection is accepted although the maximum is reached."""
    first, second, third, fourth = opened(connections, 4)

    assert first.reasons == [CloseReason.EVICTED]
    assert not second.reasons + third.reasons + fourth.reasons
    assert connections.count == 3
    assert closed == {CloseReason.EVICTED: 1}


def test_trusted_connections_and_requests_in_flight_are_not_evicted(
    connections: ConnectionLimits,
) -> None:
    """Without another candidate, the new connection itself is closed."""
    busy, trusted, untrusted = opened(connections, 3)
    connections.request_started(busy)
    connections.request_started(trusted)
    connections.request_finished(trusted, accepted=True)

    opened(connections, 1)
    assert untrusted.reasons == [CloseReason.EVICTED]
    late = opened(connections, 2)

    assert not busy.reasons + trusted.reasons
    assert connections.count == 3
    # The second evicted the first, which is untrusted.
    assert [bool(one.reasons) for one in late] == [True, False]


def test_trusted_connections_are_evicted_only_if_all_are_and_one_is_idle(
    connections: ConnectionLimits, clock: Clock
) -> None:
    """They may be idle for long, and would otherwise block all others."""
    all_trusted = opened(connections, 3)
    for one in all_trusted:
        connections.request_finished(one, accepted=True)
    [late] = opened(connections, 1)
    assert late.reasons == [CloseReason.EVICTED]
    assert not any(one.reasons for one in all_trusted)
    clock.now_s += UNTRUSTED_IDLE_S
    connections.request_started(all_trusted[0])

    first, second = opened(connections, 2)

    # The first evicts a trusted one; the second evicts the first, which is untrusted.
    assert [bool(one.reasons) for one in all_trusted] == [False, True, False]
    assert first.reasons == [CloseReason.EVICTED]
    assert not second.reasons


def test_untrusted_connections_may_be_idle_for_less_time(
    connections: ConnectionLimits, clock: Clock
) -> None:
    """Who sent one webhook stays trusted, even if a later one is rejected."""
    untrusted, trusted, busy = opened(connections, 3)
    for one in (trusted, busy):
        connections.request_started(one)
    connections.request_finished(trusted, accepted=True)
    connections.request_finished(trusted, accepted=False)

    clock.now_s += UNTRUSTED_IDLE_S + 1
    connections.close_slow()
    assert (untrusted.reasons, trusted.reasons, busy.reasons) == ([CloseReason.SLOW], [], [])

    clock.now_s += TRUSTED_IDLE_S
    connections.request_finished(busy, accepted=False)
    connections.close_slow()
    assert (trusted.reasons, busy.reasons) == ([CloseReason.SLOW], [])
    assert connections.count == 1


def test_a_head_that_grows_too_large_closes_its_connection(connections: ConnectionLimits) -> None:
    [large] = opened(connections, 1)

    connections.received_partial_head(large, MAX_HEAD_BYTES)
    assert not large.reasons
    connections.received_partial_head(large, 1)

    assert large.reasons == [CloseReason.LARGE_HEAD]


def test_heads_that_are_too_large_in_total_evict_the_oldest(connections: ConnectionLimits) -> None:
    """Finished heads and closed connections free their bytes."""
    first, second, third = opened(connections, 3)
    connections.received_partial_head(first, MAX_HEAD_BYTES)
    connections.request_started(first)
    connections.request_finished(first, accepted=False)
    connections.received_partial_head(second, MAX_HEAD_BYTES)
    connections.received_partial_head(third, 10)
    assert not first.reasons + second.reasons + third.reasons

    connections.received_partial_head(third, 1)

    assert second.reasons == [CloseReason.EVICTED]
    assert not third.reasons
    connections.closed(third)
    connections.received_partial_head(first, MAX_HEAD_BYTES)
    assert not first.reasons
