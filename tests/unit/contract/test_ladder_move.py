"""Tests for ringback.contract.ladder_move: from any bindings to any schedule, without a copy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.ladder import Ladder
from ringback.contract.ladder_move import is_rung, ladder_move, other_ladder, rung_bindings
from ringback.contract.topology import FAILED, Binding

LADDERS = st.lists(st.sampled_from(["1s", "2s", "1m"]), min_size=1, max_size=6).map(
    lambda delays: Ladder.parse(",".join(delays))
)
AUDIT = Binding(FAILED, "somebodys.audit", "attempt.1")


def queues(bindings: tuple[Binding, ...]) -> list[str]:
    return [binding.queue for binding in bindings]


@pytest.mark.parametrize(
    ("old", "to", "unbound", "bound"),
    [
        ("2s,4s", "2s,4s", [], []),
        ("2s,4s", "5s,1m", ["1.2s", "2.4s"], ["1.5s", "2.1m"]),
        ("2s,4s,8s", "2s", ["2.4s", "3.8s"], []),
        ("2s", "2s,4s", [], ["2.4s"]),
        ("2s,4s,8s", "2s,5s,8s", ["2.4s"], ["2.5s"]),
    ],
)
def test_only_what_differs_is_touched(
    old: str, to: str, unbound: list[str], bound: list[str]
) -> None:
    """A retry queue of both schedules stays bound throughout."""
    move = ladder_move(rung_bindings(Ladder.parse(old)), Ladder.parse(to))

    assert queues(move.unbind) == [f"webhooks.retry.{name}" for name in unbound]
    assert queues(move.bind) == [f"webhooks.retry.{name}" for name in bound]


@given(LADDERS, LADDERS, st.data())
def test_no_attempt_has_two_rungs_at_any_moment(
    old: Ladder, to: Ladder, data: st.DataObject
) -> None:
    """Interrupted after any number of bindings, a new plan finishes; nothing is copied."""
    bound = set(rung_bindings(old))
    for is_cut_short in (True, False):
        move = ladder_move(bound, to)
        steps = [(bound.discard, one) for one in move.unbind] + [
            (bound.add, one) for one in move.bind
        ]
        count = data.draw(st.integers(0, len(steps))) if is_cut_short else len(steps)
        for change, binding in steps[:count]:
            change(binding)
            keys = [one.routing_key for one in bound]
            assert len(keys) == len(set(keys))

    assert bound == set(rung_bindings(to))
    assert ladder_move(bound, to).is_done


@given(LADDERS, LADDERS)
def test_what_is_to_be_unbound_is_told(old: Ladder, to: Ladder) -> None:
    """`apply` refuses exactly when a change would have to unbind something."""
    bound = rung_bindings(old)

    assert len(other_ladder(bound, to)) == len(ladder_move(bound, to).unbind)


def test_queues_of_others_are_left_alone() -> None:
    """Other consumers of failed attempts are not affected."""
    move = ladder_move([AUDIT, *rung_bindings(Ladder.parse("2s"))], Ladder.parse("4s"))

    assert queues(move.unbind) == ["webhooks.retry.1.2s"]
    assert not other_ladder([AUDIT], Ladder.parse("4s"))
    assert not is_rung(AUDIT.queue)


def test_a_rung_under_a_wrong_key_is_unbound() -> None:
    """Right name, wrong attempt: it would get messages of another attempt."""
    wrong = Binding(FAILED, "webhooks.retry.1.2s", "attempt.2")

    move = ladder_move([wrong], Ladder.parse("2s"))

    assert move.unbind == (wrong,)
    assert move.bind == rung_bindings(Ladder.parse("2s"))
