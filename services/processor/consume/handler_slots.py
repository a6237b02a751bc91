"""Decides which of the received messages is handled next, and how many are at once."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

TURNS_IN_A_ROW = 4
"""How many messages of the first queue are handled before a waiting one of another is."""


def next_queue(waiting: Sequence[bool], turns_in_a_row: int) -> int | None:
    """The queue whose message is next, by its place; None if no message waits.

    The first queue has precedence, but after so many turns in a row it yields one to the others: a
    flood of due retries must not stop first attempts.
    """
    places = [place for place, waits in enumerate(waiting) if waits]
    if not places:
        return None
    yields = turns_in_a_row >= TURNS_IN_A_ROW and places[0] == 0 and len(places) > 1
    return places[1] if yields else places[0]


class HandlerSlots:
    """At most `limit` messages of its queues are handled at once; the others wait in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._handled = 0
        self._queues: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        self._turns_in_a_row = 0
        self._is_closed = False

    def add_queue(self, is_waiting: Callable[[], bool], start_next: Callable[[], None]) -> None:
        """Add a queue after those with precedence. Each message that it starts takes a slot."""
        self._queues.append((is_waiting, start_next))

    def fill(self) -> None:
        """Start messages while one waits and a slot is free."""
        while self._handled < self._limit and not self._is_closed:
            place = next_queue(
                [is_waiting() for is_waiting, _ in self._queues], self._turns_in_a_row
            )
            if place is None:
                return
            self._turns_in_a_row = self._turns_in_a_row + 1 if place == 0 else 0
            self._handled += 1
            self._queues[place][1]()

    def release(self) -> None:
        """A message has been handled."""
        self._handled -= 1
        self.fill()

    @contextmanager
    def closed(self) -> Generator[None, None, None]:
        """While entered, no message is started."""
        self._is_closed = True
        try:
            yield
        finally:
            self._is_closed = False
            self.fill()
