"""`ringback delivery`, `failures` and `stats`: read the delivery log."""

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ringback.cli.client.job_ids import resolve_job_id
from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
    show,
)
from ringback.cli.commands.delivery_list import DeliveryFilter, list_deliveries
from ringback.cli.options import (
    ErrorClass,
    EventType,
    Flag,
    Limit,
    OptionalText,
    Org,
    Reason,
    Since,
    Until,
)
from ringback.cli.terminal import out
from ringback.cli.views import delivery_view
from ringback.cli.views.delivery_view import event_text, print_deliveries, retried_lines
from ringback.cli.views.stats_view import summary_table, types_table
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryResponse

_DELIVERY_EXAMPLES = """Examples:

    ringback delivery list --status failed --since 2h
    ringback delivery list --call CALL
    ringback delivery show JOB
    ringback delivery run JOB --reason "Two bookings, not one."
"""

delivery = App(
    name="delivery",
    help="Find webhooks, show one, or process one that was wrongly treated as a duplicate.",
    help_epilogue=_DELIVERY_EXAMPLES,
)


@delivery.command(name="list")
async def _list(
    *,
    status: OptionalText = "",
    event_type: Annotated[EventType, Parameter(name=("--type", "--event-type"))] = "",
    call: Annotated[str, Parameter(name=("--call", "--call-id"), show_default=False)] = "",
    error: Annotated[ErrorClass, Parameter(name=("--error", "--error-class"))] = "",
    job: OptionalText = "",
    since: Since = "",
    until: Until = "",
    org: Org = "",
    run: OptionalText = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 20,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the webhooks that match all options, newest first.

    One command looks through at most a million webhooks. The output says how far it has looked, and
    how to look further.

    Parameters
    ----------
    status
        Only this status: pending, processing, completed, failed, dead_letter or duplicate.
    call
        Only this call (its id).
    job
        Only job ids that begin with this.
    run
        Only those that this retry run has created (its id or the beginning of it).
    limit
        Maximum number, up to 10,000.
    """
    wanted = DeliveryFilter(status, event_type, call, error, job, since, until, org, run)
    await list_deliveries(wanted, limit, options)


@delivery.command(name="show")
async def _show(
    job: str,
    /,
    *,
    event: Flag = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """Show one webhook with a timeline of its attempts and retries.

    Parameters
    ----------
    job
        The job id from the gateway's response, or its beginning.
    event
        Also show the event.
    """
    async with metrics_client(options) as client:
        found = await client.delivery(await resolve_job_id(client, job))
    if options.json:
        print_json(found)
    else:
        print_delivery(found, with_event=event)


@delivery.command(name="run")
async def _run(job: str, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Process a webhook that was wrongly recognised as a duplicate, under a new job id.

    The original webhook does not change.

    Parameters
    ----------
    job
        The job id of the duplicate, or its beginning.
    """
    async with metrics_client(options) as client:
        answer = await client.run_duplicate(await resolve_job_id(client, job), reason=reason)
    show(answer, options, retried_lines(answer), soft_wrap=True)


def print_delivery(found: GetDeliveryResponse, *, with_event: bool) -> None:
    console = out()
    delivery_view.print_delivery(console, found, datetime.now(UTC))
    if with_event:
        console.print()
        # Do not wrap lines, so that the copied text is valid JSON.
        console.print(event_text(found.delivery), soft_wrap=True)


failures = App(name="failures", help_epilogue="")


@failures.default
async def _failures(
    *,
    limit: Limit = 20,
    org: Org = "",
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the webhooks whose last attempt failed and the dead letters, newest first."""
    async with metrics_client(options) as client:
        answer = await anext(client.recent_failures(page_size=limit, org_id=org).by_page())
    if options.json:
        print_json(answer)
        return
    console = out()
    if not answer.failures:
        console.print("No webhook has failed.")
        return
    print_deliveries(console, answer.failures, datetime.now(UTC))
    if answer.next_page_token:
        console.print(f"\nThese are the newest {len(answer.failures)}. Use --limit to list more.")


_STATS_EXAMPLES = """Examples:

    ringback stats
    ringback stats 7d
    ringback stats 15m --json
"""

stats = App(name="stats", help_epilogue=_STATS_EXAMPLES)


@stats.default
async def _stats(
    time_range: Annotated[str, Parameter(name="--range")] = "24h",
    *,
    org: Org = "",
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """Count the webhooks of the last hours or days, by result and event type.

    Parameters
    ----------
    time_range
        The time range, from 15m to 30d, in minutes (m), hours (h) or days (d).
    """
    async with metrics_client(options) as client:
        answer = await client.delivery_stats(time_range, org_id=org)
    types = ("", types_table(answer)) if answer.by_event_type else ()
    show(answer, options, summary_table(answer), *types)
