"""How many connections there are, how long they wait, and which are closed first."""

from collections import Counter
from dataclasses import dataclass, field

import pytest

from ringback.runtime.http.connections import (
    KNOWN_WAITS_S,
    LONGEST_HEAD_BYTES,
    STRANGER_WAITS_S,
    Connections,
    CutFor,
)


@dataclass(eq=False)
class Cut:
    """A connection that records why it was closed."""

    why: list[CutFor] = field(default_factory=list)

    def cut(self, why: CutFor) -> None:
        self.why.append(why)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cuts() -> Counter[CutFor]:
    return Counter()


@pytest.fixture
def connections(clock: Clock, cuts: Counter[CutFor]) -> Connections:
    return Connections(
        3, cut=lambda why: cuts.update([why]), clock=clock, most_head_bytes=LONGEST_HEAD_BYTES + 10
    )


def opened(connections: Connections, count: int) -> list[Cut]:
    made = [Cut() for _ in range(count)]
    for one in made:
        connections.opened(one)
    return made


def test_the_stranger_that_waits_longest_gives_way(
    connections: Connections, cuts: Counter[CutFor]
) -> None:
    """A new connection is accepted although all slots are used."""
    first, second, third, fourth = opened(connections, 4)

    assert first.why == [CutFor.EVICTED]
    assert not second.why + third.why + fourth.why
    assert connections.count == 3
    assert cuts == {CutFor.EVICTED: 1}


def test_who_has_a_request_in_flight_or_is_known_does_not_give_way(
    connections: Connections,
) -> None:
    """If there is no other candidate, the new one is closed."""
    busy, known, stranger = opened(connections, 3)
    connections.begins(busy)
    connections.begins(known)
    connections.ends(known, accepted=True)

    opened(connections, 1)
    assert stranger.why == [CutFor.EVICTED]
    late = opened(connections, 2)

    assert not busy.why + known.why
    assert connections.count == 3
    # Each replaced the untrusted connection before it.
    assert [bool(one.why) for one in late] == [True, False]


def test_a_new_one_goes_where_all_are_known(connections: Connections) -> None:
    """A trusted connection that was just used is not evicted."""
    all_known = opened(connections, 3)
    for one in all_known:
        connections.begins(one)
        connections.ends(one, accepted=True)

    [late] = opened(connections, 1)

    assert late.why == [CutFor.EVICTED]
    assert connections.count == 3
    assert not any(one.why for one in all_known)


def test_known_ones_that_are_idle_give_way_where_all_are_known(
    connections: Connections, clock: Clock
) -> None:
    """They may stay open for long, so otherwise they would keep all others out."""
    all_known = opened(connections, 3)
    for one in all_known:
        connections.ends(one, accepted=True)
    clock.now_s += STRANGER_WAITS_S
    connections.begins(all_known[0])

    first, second = opened(connections, 2)

    # One slot is for the first; the second replaces the first, which is untrusted.
    assert [bool(one.why) for one in all_known] == [False, True, False]
    assert first.why == [CutFor.EVICTED]
    assert not second.why


def test_strangers_wait_less_long_than_those_that_are_known(
    connections: Connections, clock: Clock
) -> None:
    """Each from its last answer on, and never while its request is in flight."""
    stranger, known, busy = opened(connections, 3)
    for one in (known, busy):
        connections.begins(one)
    connections.ends(known, accepted=True)

    clock.now_s += STRANGER_WAITS_S + 1
    connections.cut_slow()
    assert (stranger.why, known.why, busy.why) == ([CutFor.SLOW], [], [])

    clock.now_s += KNOWN_WAITS_S
    connections.ends(busy, accepted=False)
    connections.cut_slow()
    assert (known.why, busy.why) == ([CutFor.SLOW], [])
    assert connections.count == 1


def test_a_known_one_stays_known(connections: Connections, clock: Clock) -> None:
    """Even if a later webhook on it is rejected."""
    [one] = opened(connections, 1)
    connections.ends(one, accepted=True)
    connections.ends(one, accepted=False)

    clock.now_s += STRANGER_WAITS_S + 1
    connections.cut_slow()

    assert not one.why


def test_a_head_that_grows_too_large_is_cut(connections: Connections) -> None:
    """The size includes everything that has arrived."""
    [large] = opened(connections, 1)

    connections.head_grows(large, LONGEST_HEAD_BYTES)
    assert not large.why
    connections.head_grows(large, 1)

    assert large.why == [CutFor.LARGE_HEAD]


def test_heads_that_are_too_large_together_cost_the_oldest_its_place(
    connections: Connections,
) -> None:
    """The memory is released when a head is complete, or its sender has left."""
    first, second, third = opened(connections, 3)
    connections.head_grows(first, LONGEST_HEAD_BYTES)
    connections.begins(first)
    connections.ends(first, accepted=False)
    connections.head_grows(second, LONGEST_HEAD_BYTES)
    connections.head_grows(third, 10)
    assert not first.why + second.why + third.why

    connections.head_grows(third, 1)

    assert second.why == [CutFor.EVICTED]
    assert not third.why
    connections.closed(third)
    connections.head_grows(first, LONGEST_HEAD_BYTES)
    assert not first.why
