"""Which message is handled next, and how many at once."""

from functools import partial

import pytest

from services.processor.consume.handler_slots import TURNS_IN_A_ROW, HandlerSlots, next_queue

DUE, WORK = 0, 1


@pytest.mark.parametrize(
    ("waiting", "turns_in_a_row", "expected"),
    [
        ([False, False], 0, None),
        ([False, False], TURNS_IN_A_ROW, None),
        ([True, False], 0, DUE),
        ([True, False], TURNS_IN_A_ROW, DUE),
        ([False, True], 0, WORK),
        ([False, True], TURNS_IN_A_ROW, WORK),
        ([True, True], 0, DUE),
        ([True, True], TURNS_IN_A_ROW - 1, DUE),
        ([True, True], TURNS_IN_A_ROW, WORK),
        ([True], TURNS_IN_A_ROW, 0),
    ],
)
def test_the_first_queue_has_precedence_but_yields(
    waiting: list[bool], turns_in_a_row: int, expected: int | None
) -> None:
    """Due retries come first; after some in a row, a first attempt gets its turn."""
    assert next_queue(waiting, turns_in_a_row) == expected


class Queues:
    """A queue of due retries and one of first attempts, which wait for slots."""

    def __init__(self, limit: int, *, due: int = 0, work: int = 0) -> None:
        self.slots = HandlerSlots(limit)
        self.waiting = {"due": due, "work": work}
        self.started: list[str] = []
        for name in self.waiting:
            self.slots.add_queue(partial(self._is_waiting, name), partial(self._start, name))

    def _is_waiting(self, name: str) -> bool:
        return self.waiting[name] > 0

    def _start(self, name: str) -> None:
        self.waiting[name] -= 1
        self.started.append(name)


@pytest.mark.parametrize("limit", [1, 5])
def test_a_flood_of_retries_leaves_first_attempts_one_turn_in_five(limit: int) -> None:
    """With any number of slots. What is left over when one queue is empty goes to the other."""
    queues = Queues(limit, due=100, work=5)

    queues.slots.fill()
    while len(queues.started) < 30:
        queues.slots.release()

    assert queues.started[:25] == (["due"] * 4 + ["work"]) * 5
    assert set(queues.started[25:30]) == {"due"}


def test_no_more_than_the_limit_are_handled_and_none_while_closed() -> None:
    """A quarantined message runs alone: a free slot stays free until the end of its turn."""
    queues = Queues(2, work=9)
    queues.slots.fill()
    assert len(queues.started) == 2

    with queues.slots.closed():
        queues.slots.release()
        queues.slots.fill()
        assert len(queues.started) == 2

    assert len(queues.started) == 3
