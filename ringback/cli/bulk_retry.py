"""Retries many dead letters: counts them, asks, then shows the progress."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.prompt import Confirm

from ringback.cli.as_json import print_json
from ringback.cli.dead_screen import bulk_figures, bulk_table, question
from ringback.cli.failure import BadInputError, CommandError
from ringback.cli.interrupt import stop_on_interrupt
from ringback.cli.metrics_call import Asked, metrics_client
from ringback.cli.point_in_time import point_in_time
from ringback.cli.send_screen import progress_bar
from ringback.cli.terminal import EXIT_FAILED, EXIT_INTERRUPTED, err, out
from ringback.metrics import MetricsClient
from ringback.metrics.v1.admin_service_pb2 import (
    DeadLetterFilter,
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
    RetryRunState,
)


@dataclass(frozen=True, slots=True)
class Which:
    """Dead letters that match all filters; texts as on the command line."""

    event_type: str = ""
    error_class: str = ""
    call_id: str = ""
    since: str = ""
    until: str = ""
    org: str = ""


@dataclass(frozen=True, slots=True)
class Bulk:
    which: Which
    reason: str
    limit: int
    rate_per_s: float
    dry_run: bool
    yes: bool
    json: bool


async def retry_many(bulk: Bulk, state_dir: Path) -> int:
    """The exit status: 0 if all matches were retried, up to the limit."""
    request = _request(bulk, datetime.now(UTC))
    if not bulk.dry_run and not bulk.reason:
        raise BadInputError('Say why, for those who look later: --reason "...".')
    if not bulk.dry_run and not bulk.yes and (bulk.json or not sys.stdin.isatty()):
        raise BadInputError("Nobody can be asked here: --yes retries without asking.")
    async with metrics_client(Asked(json=bulk.json, data=state_dir)) as client:
        if bulk.dry_run or not bulk.yes:
            counted = await _count(client, request)
            if bulk.dry_run and bulk.json:
                print_json(counted)
                return 0
            out().print(question(counted.matched, bulk.limit, bulk.rate_per_s))
            if bulk.dry_run or not counted.matched:
                return 0
            if not await asyncio.to_thread(_is_wanted):
                out().print("Nothing was changed.")
                return EXIT_FAILED
        with stop_on_interrupt() as stop:
            return await _follow(client.retry_deliveries(request), bulk, stop)


async def _count(client: MetricsClient, request: RetryDeliveriesRequest) -> RetryDeliveriesResponse:
    asked = RetryDeliveriesRequest()
    asked.CopyFrom(request)
    asked.dry_run = True
    # The contract requires a reason for every call, even for one that only counts.
    asked.reason = request.reason or "counting"
    async with aclosing(client.retry_deliveries(asked)) as answers:
        async for answer in answers:
            return answer
    raise CommandError("The metrics service ended without a count.")


async def _follow(
    answers: AsyncGenerator[RetryDeliveriesResponse, None], bulk: Bulk, stop: asyncio.Event
) -> int:
    """Show each answer until the last or until Ctrl-C, which ends the run, and print a summary."""
    latest = RetryDeliveriesResponse()
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
    return 0 if latest.state == RetryRunState.RETRY_RUN_STATE_FINISHED else EXIT_FAILED


async def _until(
    stop: asyncio.Event, answers: AsyncGenerator[RetryDeliveriesResponse, None]
) -> AsyncGenerator[RetryDeliveriesResponse, None]:
    """The answers, until the last or until `stop`; then the call has ended."""
    told_to_stop = asyncio.create_task(stop.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(answers, None))
            await asyncio.wait({coming, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                return
            answer = coming.result()
            if answer is None:
                return
            yield answer
    finally:
        told_to_stop.cancel()
        await answers.aclose()


def _is_wanted() -> bool:
    try:
        return Confirm.ask("Retry them?", console=err(), default=False)
    except EOFError:
        return False


def _request(bulk: Bulk, now: datetime) -> RetryDeliveriesRequest:
    which = bulk.which
    wanted = DeadLetterFilter(
        event_type=which.event_type,
        error_class=which.error_class,
        call_id=which.call_id,
        org_id=which.org,
    )
    if which.since:
        wanted.start_time.FromDatetime(point_in_time(which.since, now))
    if which.until:
        wanted.end_time.FromDatetime(point_in_time(which.until, now))
    return RetryDeliveriesRequest(
        filter=wanted, limit=bulk.limit, rate_per_second=bulk.rate_per_s, reason=bulk.reason
    )
