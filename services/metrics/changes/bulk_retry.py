"""Retries all dead letters that match, and reports the progress."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import uuid4

from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_RUN_STATE_DRY_RUN,
    RETRY_RUN_STATE_FINISHED,
    RETRY_RUN_STATE_HELD,
    RETRY_RUN_STATE_RUNNING,
    RETRY_RUN_STATE_STOPPED,
    RetryDeliveriesResponse,
    RetryRunState,
)
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import ApiError
from services.metrics.changes.bulk_audit import BulkAudit
from services.metrics.changes.bulk_look import BulkLook, Waiting
from services.metrics.changes.bulk_order import BulkOrder
from services.metrics.changes.bulk_run import BulkRun, RunStoppedError
from services.metrics.changes.bulk_stop import why_stop_after
from services.metrics.changes.bulk_tally import Tally
from services.metrics.changes.retry_one import RetryOne

TELL_EVERY_S = 1.0

_CALLER_GONE = "Stopped: the caller went away."


class BulkRetry:
    """`waiting` returns the number of messages in the work queue; None when it is unknown."""

    def __init__(self, access: Access, retry_one: RetryOne, waiting: Waiting) -> None:
        self._access = access
        self._retry_one = retry_one
        self._waiting = waiting
        self._endings: set[asyncio.Task[None]] = set()

    async def run(
        self, order: BulkOrder, call: Call
    ) -> AsyncGenerator[RetryDeliveriesResponse, None]:
        """Raise ApiError only before anything is changed; later the last answer has the reason.

        When the caller disconnects, the run ends where it is; the audit records this.
        """
        look = BulkLook(self._access, self._waiting, order, call)
        matched = await look.count()
        if order.is_dry_run:
            yield _dry_run(matched, order)
            return
        self._retry_one.require_broker()
        run_id = str(uuid4())
        audit = BulkAudit(self._access, order, call, run_id)
        await audit.began(matched)
        run = BulkRun(look, self._retry_one, order, call, run_id)
        clock = asyncio.get_running_loop().time
        tell_at = clock()
        last: RetryDeliveriesResponse | None = None
        try:
            while last is None:
                if clock() >= tell_at:
                    tell_at = clock() + TELL_EVERY_S
                    yield _progress(run, matched)
                last = await _stepped(run, matched)
        finally:
            await self._write_end(
                audit, _stopped(run, matched, _CALLER_GONE) if last is None else last
            )
        yield last

    async def finish(self, timeout_s: float) -> None:
        """Wait for audit lines that are still being written."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=timeout_s)

    async def _write_end(self, audit: BulkAudit, last: RetryDeliveriesResponse) -> None:
        """The line is written even when this task was cancelled."""
        how = {
            "state": RetryRunState.Name(last.state).removeprefix("RETRY_RUN_STATE_").lower(),
            "message": last.message,
            "retried": last.retried,
            "completed": last.completed,
            "failed_again": last.failed_again,
            "skipped": last.skipped,
        }
        ending = asyncio.create_task(audit.ended(how))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)


async def _stepped(run: BulkRun, matched: int) -> RetryDeliveriesResponse | None:
    """Make one step of the run; return the last answer if it was the last step."""
    try:
        if await run.step():
            return None
        return _answer(run, matched, RETRY_RUN_STATE_FINISHED, _summary(run.tally))
    except RunStoppedError as exc:
        reason = str(exc)
    except ApiError as exc:
        reason = why_stop_after(exc)
    with suppress(ApiError):
        await run.note_outcomes()
    return _stopped(run, matched, reason)


def _progress(run: BulkRun, matched: int) -> RetryDeliveriesResponse:
    if run.held is not None:
        return _answer(run, matched, RETRY_RUN_STATE_HELD, run.held)
    return _answer(run, matched, RETRY_RUN_STATE_RUNNING, "Retrying.")


def _stopped(run: BulkRun, matched: int, reason: str) -> RetryDeliveriesResponse:
    return _answer(run, matched, RETRY_RUN_STATE_STOPPED, reason)


def _answer(
    run: BulkRun, matched: int, state: RetryRunState.ValueType, message: str
) -> RetryDeliveriesResponse:
    return RetryDeliveriesResponse(
        state=state,
        matched=matched,
        retried=run.tally.retried,
        completed=run.tally.completed,
        failed_again=run.tally.failed_again,
        skipped=run.tally.skipped,
        rate_per_second=run.rate_per_second,
        message=message,
    )


def _dry_run(matched: int, order: BulkOrder) -> RetryDeliveriesResponse:
    return RetryDeliveriesResponse(
        state=RETRY_RUN_STATE_DRY_RUN,
        matched=matched,
        message=f"{min(matched, order.limit)} of {matched} dead letters would be retried.",
    )


def _summary(tally: Tally) -> str:
    return (
        f"{tally.retried} retried: {tally.completed} completed, {tally.failed_again} failed again, "
        f"{len(tally.unfinished)} not finished yet."
    )
