"""Lets received webhooks wait for a handler slot, and limits how many are attempted at once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ringback.services.processor.attempt.fair_share import Shares, SlotRequest, next_queue
from ringback.services.processor.attempt.policy import SourceQueue


class NotBegunError(Exception):
    """A pause or a stop came before the attempt began. Nothing was done."""


class ShareExceededError(Exception):
    """An org or destination has its share of the slots, and returns none. Nothing was done."""

    def __init__(self, *, hangs: bool) -> None:
        super().__init__()
        self.hangs = hangs


_Waiting = dict[asyncio.Future[None], SlotRequest]


class HandlerSlots:
    """At most `limit` attempts have a slot at once; the others wait here.

    While it is closed for any reason, no attempt gets a slot, and waiting ones get NotBegunError.
    """

    def __init__(
        self,
        limit: int,
        *,
        prefetch: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = limit
        self._clock = clock
        self._shares = Shares(slots=limit, prefetch=prefetch or limit)
        self._waiting: dict[SourceQueue, _Waiting] = {
            queue: {} for queue in (SourceQueue.DUE, SourceQueue.WORK, SourceQueue.BULK)
        }
        self._due_turns = self._work_turns = 0
        self._closed_for: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def acquire(self, request: SlotRequest) -> AsyncGenerator[None, None]:
        """Wait for a slot, and keep it while entered.

        Raises NotBegunError if the slots close, and ShareExceededError if the webhook should wait
        elsewhere. One of the quarantine waits with first attempts.
        """
        if self._closed_for:
            raise NotBegunError
        self._shares.arrived(request, self._clock())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(request.source, self._waiting[SourceQueue.WORK])
        waiting[turn] = request
        try:
            self._fill()
            await turn
            yield
        finally:
            waiting.pop(turn, None)
            self._leave(turn, request)

    def close(self, reason: str) -> None:
        self._closed_for.add(reason)
        for waiting in self._waiting.values():
            for turn in waiting:
                if not turn.done():
                    turn.set_exception(NotBegunError())
            waiting.clear()

    def open(self, reason: str) -> None:
        """Withdraw a reason."""
        self._closed_for.discard(reason)

    def _leave(self, turn: asyncio.Future[None], request: SlotRequest) -> None:
        error = turn.exception() if turn.done() and not turn.cancelled() else None
        # A cancellation may come between its turn and its start: then it has a slot, too.
        if turn.done() and not turn.cancelled() and error is None:
            self._free += 1
            self._shares.returned_slot(request, self._clock())
        if not isinstance(error, ShareExceededError):
            self._shares.left(request)
        self._fill()

    def _fill(self) -> None:
        now_s = self._clock()
        while self._free:
            next_of = {}
            for queue, waiting in self._waiting.items():
                if waiting and (turn := self._first(waiting, now_s)) is not None:
                    next_of[queue] = turn
            if not next_of:
                return
            queue = next_queue(
                next_of.keys(), due_turns=self._due_turns, work_turns=self._work_turns
            )
            self._count_turn(queue)
            turn = next_of[queue]
            self._free -= 1
            self._shares.took_slot(self._waiting[queue].pop(turn), now_s)
            turn.set_result(None)

    def _count_turn(self, queue: SourceQueue) -> None:
        self._due_turns = self._due_turns + 1 if queue is SourceQueue.DUE else 0
        if queue is not SourceQueue.DUE:
            self._work_turns = self._work_turns + 1 if queue is SourceQueue.WORK else 0

    def _first(self, waiting: _Waiting, now_s: float) -> asyncio.Future[None] | None:
        """The first that may have a slot. Those before it that should be parked get an error."""
        for turn, request in waiting.items():
            if turn.done():
                continue
            blocked = self._shares.blocked(request, now_s)
            if blocked is None:
                return turn
            if blocked.park_at_s <= now_s:
                self._shares.left(request)
                turn.set_exception(ShareExceededError(hangs=blocked.hangs))
            else:
                self._fill_again(min(blocked.park_at_s, blocked.until_s) - now_s)
        return None

    def _fill_again(self, after_s: float) -> None:
        """Look again by then; no other event may come."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + after_s:
                return
            self._timer.cancel()
        self._timer = loop.call_later(after_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._fill()
