"""Decides which received webhook is attempted next, and how many are attempted at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

DUE_TURNS_IN_A_ROW = 4
"""How many due retries are attempted before a first attempt that waits."""


class NotBegunError(Exception):
    """A pause or a stop came before the attempt began. Nothing was done."""


def is_turn_of_due(*, due_waits: bool, first_waits: bool, due_turns: int) -> bool:
    """Whether a due retry is next, after `due_turns` in a row; else a first attempt.

    Due retries come first, but a flood of them must not stop first attempts.
    """
    return due_waits and not (first_waits and due_turns >= DUE_TURNS_IN_A_ROW)


class HandlerSlots:
    """At most `limit` attempts have a slot at once; the others wait here.

    While it is closed for any reason, no attempt gets a slot, and waiting ones get NotBegunError.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._due = deque[asyncio.Future[None]]()
        self._first = deque[asyncio.Future[None]]()
        self._due_turns = 0
        self._closed_for: set[str] = set()

    @asynccontextmanager
    async def acquire(self, *, is_due: bool) -> AsyncGenerator[None, None]:
        """Wait for a slot, and keep it while entered. Raises NotBegunError if the slots close."""
        if self._closed_for:
            raise NotBegunError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._due if is_due else self._first).append(turn)
        self._fill()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                # It was cancelled between its turn and its start.
                self._release()
            raise
        try:
            yield
        finally:
            self._release()

    def close(self, reason: str) -> None:
        self._closed_for.add(reason)
        for waiting in (self._due, self._first):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_exception(NotBegunError())

    def open(self, reason: str) -> None:
        """Withdraw a reason."""
        self._closed_for.discard(reason)

    def _release(self) -> None:
        self._free += 1
        self._fill()

    def _fill(self) -> None:
        while self._free:
            for waiting in (self._due, self._first):
                while waiting and waiting[0].done():
                    waiting.popleft()
            if not self._due and not self._first:
                return
            is_due = is_turn_of_due(
                due_waits=bool(self._due),
                first_waits=bool(self._first),
                due_turns=self._due_turns,
            )
            self._due_turns = self._due_turns + 1 if is_due else 0
            self._free -= 1
            (self._due if is_due else self._first).popleft().set_result(None)
