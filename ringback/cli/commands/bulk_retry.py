"""Retries many dead letters: counts them, asks for confirmation, and shows the progress."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ringback.cli.client.metrics import CommonOptions, metrics_client, print_json
from ringback.cli.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInputError,
    CommandError,
    confirmed,
    out,
    stop_on_interrupt,
)
from ringback.cli.views.delivery_view import bulk_figures, bulk_table, question
from ringback.cli.views.formatting import progress_bar
from ringback.metrics import MetricsClient
from ringback.metrics.point_in_time import read_point_in_time
from ringback.metrics.v1 import admin_service_pb2 as admin


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """The filter options of `ringback dead`, as typed."""

    event_type: str = ""
    error_class: str = ""
    call_id: str = ""
    since: str = ""
    until: str = ""
    org: str = ""


@dataclass(frozen=True, slots=True)
class BulkRetry:
    selected: DeadLetterFilter
    reason: str
    limit: int
    rate_per_s: float
    dry_run: bool
    yes: bool
    json: bool


async def retry_all_matching(bulk: BulkRetry, state_dir: Path) -> int:
    """Retry the matches; the exit status is 0 if all were retried, up to the limit."""
    request = _request(bulk, datetime.now(UTC))
    if not bulk.dry_run:
        require_consent(bulk.reason, yes=bulk.yes, json=bulk.json)
    async with metrics_client(CommonOptions(json=bulk.json, data=state_dir)) as client:
        if bulk.dry_run or not bulk.yes:
            counted = await _count(client, request)
            if bulk.dry_run and bulk.json:
                print_json(counted)
                return 0
            out().print(question(counted.matched, bulk.limit, bulk.rate_per_s))
            if bulk.dry_run or not counted.matched:
                return 0
            if not await asyncio.to_thread(confirmed, "Retry them?"):
                out().print("Nothing was changed.")
                return EXIT_FAILED
        with stop_on_interrupt() as stop:
            return await _follow(client.retry_deliveries(request), bulk, stop)


def require_consent(reason: str, *, yes: bool, json: bool, verb: str = "retry") -> None:
    """Raise BadInputError without a reason, or if nobody can be asked for confirmation."""
    if not reason:
        raise BadInputError(f'A {verb} of many needs a reason, for the audit log: --reason "...".')
    if not yes and (json or not sys.stdin.isatty()):
        raise BadInputError(
            f"There is no terminal to ask for confirmation. Use --yes to {verb} without asking."
        )


async def _count(
    client: MetricsClient, request: admin.RetryDeliveriesRequest
) -> admin.RetryDeliveriesResponse:
    asked = admin.RetryDeliveriesRequest()
    asked.CopyFrom(request)
    asked.dry_run = True
    # Every call needs a reason, even one that only counts.
    asked.reason = request.reason or "counting"
    async with aclosing(client.retry_deliveries(asked)) as answers:
        async for answer in answers:
            return answer
    raise CommandError("The metrics service ended the call without a count. Try again.")


async def _follow(
    answers: AsyncGenerator[admin.RetryDeliveriesResponse, None],
    bulk: BulkRetry,
    stop: asyncio.Event,
) -> int:
    """Show the progress until the run ends or Ctrl-C stops it, then print a summary."""
    latest = admin.RetryDeliveriesResponse()
    with progress_bar(*bulk_figures()) as bar:
        task = bar.add_task("Retrying", total=None, done=0, failed="", words="")
        try:
            async for answer in _until(stop, answers):
                latest = answer
                if bulk.json:
                    print_json(latest)
                failed_again = latest.failed_again
                bar.update(
                    task,
                    total=min(latest.matched, bulk.limit),
                    completed=latest.retried + latest.skipped,
                    done=latest.completed,
                    failed=f"{failed_again:,} failed again" if failed_again else "",
                    words=latest.message,
                )
        finally:
            bar.stop()
            if not bulk.json:
                out().print(bulk_table(latest, interrupted=stop.is_set()))
    if stop.is_set():
        return EXIT_INTERRUPTED
    return 0 if latest.state == admin.RetryRunState.RETRY_RUN_STATE_FINISHED else EXIT_FAILED


async def _until(
    stop: asyncio.Event, answers: AsyncGenerator[admin.RetryDeliveriesResponse, None]
) -> AsyncGenerator[admin.RetryDeliveriesResponse, None]:
    """Yield the answers until the last one or until `stop`, then end the call."""
    stopping = asyncio.create_task(stop.wait())
    try:
        while True:
            pending = asyncio.ensure_future(anext(answers, None))
            await asyncio.wait({pending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not pending.done():
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
                return
            answer = pending.result()
            if answer is None:
                return
            yield answer
    finally:
        stopping.cancel()
        await answers.aclose()


def _request(bulk: BulkRetry, now: datetime) -> admin.RetryDeliveriesRequest:
    selected = bulk.selected
    wanted = admin.DeadLetterFilter(
        event_type=selected.event_type,
        error_class=selected.error_class,
        call_id=selected.call_id,
        org_id=selected.org,
    )
    if selected.since:
        wanted.start_time.FromDatetime(point_in_time(selected.since, now))
    if selected.until:
        wanted.end_time.FromDatetime(point_in_time(selected.until, now))
    return admin.RetryDeliveriesRequest(
        filter=wanted, limit=bulk.limit, rate_per_second=bulk.rate_per_s, reason=bulk.reason
    )


def point_in_time(text: str, now: datetime) -> datetime:
    """Parse `2h` (that long before `now`) or `2026-01-27T06:30`, by default in UTC.

    Raises BadInputError.
    """
    given = read_point_in_time(text, now)
    if given is None:
        raise BadInputError(
            f"{text!r} is not a time. Use 2026-01-27T06:30 (UTC), or 2h for two hours ago. "
            "The units are m, h and d."
        )
    return given


def detached(bulk: BulkRetry) -> admin.CreateRetryRunRequest:
    """The same as a run that works on the server."""
    request = _request(bulk, datetime.now(UTC))
    return admin.CreateRetryRunRequest(
        filter=request.filter,
        limit=request.limit,
        rate_per_second=request.rate_per_second,
        reason=request.reason,
    )
