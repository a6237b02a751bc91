"""One bulk retry, step by step: read the conditions, then retry for a moment."""

import asyncio
from collections import deque
from contextlib import suppress
from uuid import UUID

import grpc

from services.metrics.api.call import Call
from services.metrics.api.errors import ApiError
from services.metrics.changes.bulk_look import BulkLook, in_a_step
from services.metrics.changes.bulk_order import BulkOrder
from services.metrics.changes.bulk_pace import MOST_UNFINISHED, allowed_rate, next_turn, why_held
from services.metrics.changes.bulk_stop import why_stop
from services.metrics.changes.bulk_tally import Tally
from services.metrics.changes.retry_one import RetryOne, RetryOrder

LOOK_EVERY_S = 0.5
SETTLE_S = 30.0
"""How long a run whose retries are all made waits to report their results."""

_SKIPPED = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND})


class RunStoppedError(Exception):
    """The run ends early; the text is a sentence with the reason."""


class BulkRun:
    """`rate_per_second` is the rate allowed now; `held` is why nothing is retried, if so."""

    def __init__(
        self, look: BulkLook, retry_one: RetryOne, order: BulkOrder, call: Call, run: str
    ) -> None:
        self._look = look
        self._retry_one = retry_one
        self._order = order
        self._call = call
        self._details = {"run": run}
        self._clock = asyncio.get_running_loop().time
        self._page: deque[UUID] = deque()
        self._is_at_end = False
        self._turn_at = self._clock()
        self._settled_by: float | None = None
        self.rate_per_second = 0.0
        self.held: str | None = None
        self.tally = Tally()

    async def step(self) -> bool:
        """False when all is done.

        Raises RunStoppedError, or ApiError if the database is unavailable.
        """
        await self.note_outcomes()
        if self._has_retried_all:
            return await self._settle()
        self._stop_if_told()
        conditions = await self._look.conditions()
        self.rate_per_second = allowed_rate(self._order.rate_per_second, conditions)
        self.held = why_held(conditions, unfinished=len(self.tally.unfinished))
        look_at = self._clock() + LOOK_EVERY_S
        if self.held is None:
            await self._retry_until(look_at)
        if not self._has_retried_all:
            await self._pause(look_at - self._clock())
        return True

    async def note_outcomes(self) -> None:
        """Raises ApiError."""
        self.tally.note(await self._look.outcomes(list(self.tally.unfinished)))

    @property
    def _has_retried_all(self) -> bool:
        return self._is_at_end or self.tally.retried >= self._order.limit

    async def _settle(self) -> bool:
        self.rate_per_second = 0.0
        if self._settled_by is None:
            self._settled_by = self._clock() + SETTLE_S
        is_late = self._clock() >= self._settled_by or self._call.stopping.is_set()
        if is_late or not self.tally.unfinished:
            return False
        conditions = await self._look.conditions()
        if conditions.is_paused:
            return False
        self.held = f"All are retried; {len(self.tally.unfinished)} of them are not finished yet."
        await self._pause(LOOK_EVERY_S)
        return True

    def _stop_if_told(self) -> None:
        reason = why_stop(
            failed_again=self.tally.failed_again,
            stop_after=self._order.stop_after_failures,
            broker_is_there=self._retry_one.is_possible,
            is_stopping=self._call.stopping.is_set(),
        )
        if reason is not None:
            raise RunStoppedError(reason)

    async def _retry_until(self, look_at: float) -> None:
        """Retry one after another, at the allowed rate, until the next look at the conditions."""
        while self._turn_at < look_at and len(self.tally.unfinished) < MOST_UNFINISHED:
            await self._pause(self._turn_at - self._clock())
            self._stop_if_told()
            job_id = None if self._has_retried_all else await self._next()
            if job_id is None:
                return
            await self._retry(job_id)
            self._turn_at = next_turn(self._turn_at, self._clock(), self.rate_per_second)

    async def _next(self) -> UUID | None:
        if not self._page:
            self._page.extend(await self._look.next_page())
        self._is_at_end = not self._page
        return self._page.popleft() if self._page else None

    async def _retry(self, job_id: UUID) -> None:
        order = RetryOrder(job_id, self._order.reason, details=self._details)
        try:
            done = await self._retry_one.retry(order, in_a_step(self._call))
        except ApiError as exc:
            if exc.code not in _SKIPPED:
                raise
            self.tally.skipped += 1
        else:
            self.tally.made(done.new_id)

    async def _pause(self, seconds: float) -> None:
        """Ends early when the service stops."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._call.stopping.wait()
