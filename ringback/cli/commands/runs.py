import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cyclopts import App

from ringback.cli.client.job_ids import resolve_run_id
from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
    show,
)
from ringback.cli.commands.bulk_retry import point_in_time, require_consent
from ringback.cli.options import (
    CallId,
    EventType,
    Flag,
    Limit,
    OptionalText,
    Org,
    Reason,
    RunId,
    RunLimit,
    RunRate,
    Since,
    Until,
    Yes,
)
from ringback.cli.terminal import EXIT_FAILED, BadInputError, confirmed, out
from ringback.cli.views.runs_view import preview_lines, print_runs, run_table
from ringback.metrics import MetricsClient
from ringback.metrics.v1 import admin_service_pb2 as admin

_EXAMPLES = """Examples:

    ringback dead retry --all --reason "The shop is back." --detach
    ringback runs list
    ringback runs show RUN
    ringback runs pause RUN --reason "The shop is slow."
    ringback runs replay --event-type end-of-call-report --since 3h --dry-run
"""

runs = App(
    name="runs",
    help="Show, pause, resume and stop retry runs; replay completed webhooks.",
    help_epilogue=_EXAMPLES,
)


@runs.command(name="list")
async def _list(
    *,
    active: Flag = False,
    org: Org = "",
    limit: Limit = 20,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the retry runs, newest first.

    Parameters
    ----------
    active
        Only those that have not ended.
    """
    async with metrics_client(options) as client:
        listed = client.retry_runs(active_only=active, org_id=org, page_size=limit)
        page = await anext(listed.by_page())
    if options.json:
        print_json(page)
    elif page.runs:
        print_runs(out(), page.runs, datetime.now(UTC))
    else:
        out().print("There are no retry runs.")


@runs.command(name="show")
async def _show(run: RunId, /, *, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Show one run with its progress, or its result."""
    await _call(run, options, lambda client: client.retry_run)


@runs.command(name="pause")
async def _pause(
    run: RunId, /, *, reason: Reason = "", options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Let a run retry nothing until it is resumed."""
    await _call(run, options, lambda client: client.pause_retry_run, reason=reason)


@runs.command(name="resume")
async def _resume(
    run: RunId, /, *, reason: Reason = "", options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Let a paused run continue."""
    await _call(run, options, lambda client: client.resume_retry_run, reason=reason)


@runs.command(name="stop")
async def _stop(
    run: RunId, /, *, reason: Reason = "", options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """End a run. What it has retried stays retried."""
    await _call(run, options, lambda client: client.stop_retry_run, reason=reason)


@runs.command(name="replay")
async def _replay(
    *,
    event_type: EventType,
    since: Since,
    until: Until = "",
    call_id: CallId = "",
    org: Org = "",
    reason: OptionalText = "",
    dry_run: Flag = False,
    override_dedup: Flag = False,
    include_replays: Flag = False,
    limit: RunLimit = 1000,
    rate: RunRate = 10.0,
    yes: Yes = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """Run completed webhooks once more, because their handler was wrong.

    The run works on the server, oldest first. Each webhook is replayed once, as a new webhook.

    Parameters
    ----------
    reason
        The reason, for the audit log. Required, except with --dry-run.
    dry_run
        Only show what would be replayed.
    override_dedup
        Required to replay: handlers get events that they have processed.
    include_replays
        Also replay webhooks that are replays themselves.
    limit
        Maximum number to replay.
    rate
        Maximum replays per second.
    """
    if not override_dedup and not dry_run:
        raise BadInputError(
            "A replay needs --override-dedup: handlers get events that they have processed. "
            "--dry-run shows which."
        )
    now = datetime.now(UTC)
    request = admin.CreateRetryRunRequest(
        kind=admin.RETRY_RUN_KIND_COMPLETED,
        filter=admin.DeadLetterFilter(event_type=event_type, call_id=call_id, org_id=org),
        limit=limit,
        rate_per_second=rate,
        reason=reason,
        override_dedup=override_dedup,
        include_replays=include_replays,
    )
    request.filter.start_time.FromDatetime(point_in_time(since, now))
    if until:
        request.filter.end_time.FromDatetime(point_in_time(until, now))
    return await create_run(Creation(request, dry_run=dry_run, yes=yes), options)


@dataclass(frozen=True, slots=True)
class Creation:
    request: admin.CreateRetryRunRequest
    dry_run: bool
    yes: bool


async def create_run(creation: Creation, options: CommonOptions) -> int:
    """Preview a run, ask for confirmation, and create it; the exit status is 0 if it exists."""
    request, has_to_ask = creation.request, not creation.yes and not creation.dry_run
    verb = "replay" if request.kind == admin.RETRY_RUN_KIND_COMPLETED else "retry"
    if not creation.dry_run:
        require_consent(request.reason, yes=creation.yes, json=options.json, verb=verb)
    async with metrics_client(options) as client:
        if creation.dry_run or has_to_ask:
            asked = admin.CreateRetryRunRequest()
            asked.CopyFrom(request)
            asked.dry_run = True
            preview = (await client.create_retry_run(asked)).preview
            if creation.dry_run and options.json:
                print_json(preview)
                return 0
            out().print(preview_lines(preview))
            if creation.dry_run or not preview.matched:
                return 0
            if not await asyncio.to_thread(confirmed, f"{verb.capitalize()} them?"):
                out().print("Nothing was changed.")
                return EXIT_FAILED
        answer = await client.create_retry_run(request, request_id=str(uuid.uuid4()))
    if options.json:
        print_json(answer.run)
    else:
        out().print(f"The run {answer.run.run_id} works on the server.", soft_wrap=True)
        out().print(f"`ringback runs show {answer.run.run_id[:18]}` shows its progress.")
    return 0


async def _call(
    run: str,
    options: CommonOptions,
    method: Callable[[MetricsClient], Callable[..., Awaitable[Any]]],
    **values: str,
) -> None:
    """Make a call about one run, and show the run that it returns."""
    async with metrics_client(options) as client:
        answer = await method(client)(await resolve_run_id(client, run), **values)
    show(answer.run, options, run_table(answer.run, datetime.now(UTC)))
