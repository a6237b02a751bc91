"""Retries all dead letters that match, and reports the progress."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from uuid import UUID, uuid4

import grpc

from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_RUN_STATE_DRY_RUN,
    RETRY_RUN_STATE_FINISHED,
    RETRY_RUN_STATE_HELD,
    RETRY_RUN_STATE_RUNNING,
    RETRY_RUN_STATE_STOPPED,
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
    RetryRunState,
)
from services.metrics.auth.access import Access
from services.metrics.commands.bulk_database import RetryAudit, RetryQuery, one_step
from services.metrics.commands.bulk_rules import (
    Load,
    RetryProgress,
    RetryRequest,
    Throttle,
    next_turn,
    retry_request_of,
    stop_reason,
)
from services.metrics.commands.retry import Retries, RetryCommand
from services.metrics.transport.call import Call
from services.metrics.transport.errors import ApiError

REPORT_EVERY_S = 1.0
SETTLE_S = 30.0
"""How long a run whose retries are all made waits to report their results."""

_SKIPPED = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND})

Waiting = Callable[[], Awaitable[int | None]]
"""Returns the number of messages in the work queue; None when it is unknown."""


class RunStoppedError(Exception):
    """The run ends early; the text is the reason."""


class BulkRun:
    """One run. `rate_per_second` is the rate allowed now; `held` is why nothing is retried."""

    def __init__(
        self,
        query: RetryQuery,
        waiting: Waiting,
        retries: Retries,
        request: RetryRequest,
        call: Call,
        *,
        run_id: str,
        throttle: Throttle,
    ) -> None:
        self._query = query
        self._waiting = waiting
        self._retries = retries
        self._request = request
        self._call = call
        self._throttle = throttle
        self._details = {"run": run_id}
        self._clock = asyncio.get_running_loop().time
        self._page: deque[UUID] = deque()
        self._is_at_end = False
        self._turn_at = self._clock()
        self._settled_by: float | None = None
        self.rate_per_second = 0.0
        self.held: str | None = None
        self.progress = RetryProgress()

    async def step(self) -> bool:
        """Read the load, then retry for a moment. False when all is done.

        Raises RunStoppedError, or ApiError if the database is unavailable.
        """
        await self.update_progress()
        if self._has_retried_all:
            return await self._settle()
        self._raise_if_stopped()
        load = await self._load()
        self.rate_per_second = self._throttle.allowed_rate(self._request.rate_per_second, load)
        self.held = self._throttle.hold_reason(load, unfinished=len(self.progress.unfinished))
        check_at = self._clock() + self._throttle.check_every_s
        if self.held is None:
            await self._retry_until(check_at)
        if not self._has_retried_all:
            await self._pause(check_at - self._clock())
        return True

    async def update_progress(self) -> None:
        """Raises ApiError."""
        self.progress.update(await self._query.states(list(self.progress.unfinished)))

    @property
    def _has_retried_all(self) -> bool:
        return self._is_at_end or self.progress.retried >= self._request.limit

    async def _load(self) -> Load:
        live_per_second, is_paused = await self._query.live_traffic()
        return Load(await self._waiting(), live_per_second, is_paused)

    async def _settle(self) -> bool:
        self.rate_per_second = 0.0
        if self._settled_by is None:
            self._settled_by = self._clock() + SETTLE_S
        is_late = self._clock() >= self._settled_by or self._call.stopping.is_set()
        if is_late or not self.progress.unfinished or (await self._load()).is_paused:
            return False
        self.held = f"All are retried; {len(self.progress.unfinished)} are not finished yet."
        await self._pause(self._throttle.check_every_s)
        return True

    def _raise_if_stopped(self) -> None:
        reason = stop_reason(
            failed_again=self.progress.failed_again,
            stop_after=self._request.stop_after_failures,
            broker_is_connected=self._retries.is_ready,
            is_stopping=self._call.stopping.is_set(),
        )
        if reason is not None:
            raise RunStoppedError(reason)

    async def _retry_until(self, check_at: float) -> None:
        """Retry one after another at the allowed rate, until the load is read again."""
        while (
            self._turn_at < check_at
            and len(self.progress.unfinished) < self._throttle.max_unfinished
        ):
            await self._pause(self._turn_at - self._clock())
            self._raise_if_stopped()
            job_id = None if self._has_retried_all else await self._next()
            if job_id is None:
                return
            await self._retry(job_id)
            self._turn_at = next_turn(self._turn_at, self._clock(), self.rate_per_second)

    async def _next(self) -> UUID | None:
        if not self._page:
            self._page.extend(await self._query.next_page())
        self._is_at_end = not self._page
        return self._page.popleft() if self._page else None

    async def _retry(self, job_id: UUID) -> None:
        command = RetryCommand(job_id, self._request.reason, details=self._details)
        try:
            result = await self._retries.retry(command, one_step(self._call))
        except ApiError as exc:
            if exc.code not in _SKIPPED:
                raise
            self.progress.skipped += 1
        else:
            self.progress.add(result.new_id)

    async def _pause(self, seconds: float) -> None:
        """Ends early when the service stops."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._call.stopping.wait()


class BulkRetry:
    def __init__(
        self, access: Access, retries: Retries, waiting: Waiting, throttle: Throttle | None = None
    ) -> None:
        self._access = access
        self._retries = retries
        self._waiting = waiting
        self._throttle = throttle or Throttle()
        self._writing: set[asyncio.Task[None]] = set()

    async def retry_deliveries(
        self, request: RetryDeliveriesRequest, call: Call
    ) -> AsyncGenerator[RetryDeliveriesResponse, None]:
        """Raise ApiError only before anything is changed; later the last answer has the reason.

        When the caller disconnects, the run ends where it is; the audit records this.
        """
        retry = retry_request_of(request)
        query = RetryQuery(self._access, retry, call)
        matched = await query.count()
        if retry.is_dry_run:
            yield _dry_run(matched, retry)
            return
        self._retries.require_broker()
        run_id = str(uuid4())
        audit = RetryAudit(self._access, retry, call, run_id)
        await audit.begin(matched)
        run = BulkRun(
            *(query, self._waiting, self._retries, retry, call),
            run_id=run_id,
            throttle=self._throttle,
        )
        clock = asyncio.get_running_loop().time
        report_at = clock()
        last: RetryDeliveriesResponse | None = None
        try:
            while last is None:
                if clock() >= report_at:
                    report_at = clock() + REPORT_EVERY_S
                    yield _progress(run, matched)
                last = await _step(run, matched)
        finally:
            end = _stopped(run, matched, "the caller disconnected.") if last is None else last
            await self._write_end(audit, end)
        yield last

    async def finish(self, timeout_s: float) -> None:
        """Wait for audit lines that are still being written."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=timeout_s)

    async def _write_end(self, audit: RetryAudit, last: RetryDeliveriesResponse) -> None:
        """The line is written even when this task was cancelled."""
        result = {
            "state": RetryRunState.Name(last.state).removeprefix("RETRY_RUN_STATE_").lower(),
            "message": last.message,
            "retried": last.retried,
            "completed": last.completed,
            "failed_again": last.failed_again,
            "skipped": last.skipped,
        }
        writing = asyncio.create_task(audit.end(result))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)


async def _step(run: BulkRun, matched: int) -> RetryDeliveriesResponse | None:
    """Make one step of the run; return the last answer if it was the last step."""
    try:
        if await run.step():
            return None
        return _answer(run, matched, RETRY_RUN_STATE_FINISHED, _summary(run.progress))
    except RunStoppedError as exc:
        reason = str(exc)
    except ApiError as exc:
        reason = exc.message
    with suppress(ApiError):
        await run.update_progress()
    return _stopped(run, matched, reason)


def _progress(run: BulkRun, matched: int) -> RetryDeliveriesResponse:
    if run.held is not None:
        return _answer(run, matched, RETRY_RUN_STATE_HELD, run.held)
    return _answer(run, matched, RETRY_RUN_STATE_RUNNING, "Retrying.")


def _stopped(run: BulkRun, matched: int, reason: str) -> RetryDeliveriesResponse:
    return _answer(run, matched, RETRY_RUN_STATE_STOPPED, f"Stopped: {reason}")


def _answer(
    run: BulkRun, matched: int, state: RetryRunState.ValueType, message: str
) -> RetryDeliveriesResponse:
    return RetryDeliveriesResponse(
        state=state,
        matched=matched,
        retried=run.progress.retried,
        completed=run.progress.completed,
        failed_again=run.progress.failed_again,
        skipped=run.progress.skipped,
        rate_per_second=run.rate_per_second,
        message=message,
    )


def _dry_run(matched: int, request: RetryRequest) -> RetryDeliveriesResponse:
    return RetryDeliveriesResponse(
        state=RETRY_RUN_STATE_DRY_RUN,
        matched=matched,
        message=f"{min(matched, request.limit)} of {matched} dead letters would be retried.",
    )


def _summary(progress: RetryProgress) -> str:
    return (
        f"{progress.retried} retried: {progress.completed} completed, "
        f"{progress.failed_again} failed again, {len(progress.unfinished)} not finished yet."
    )
