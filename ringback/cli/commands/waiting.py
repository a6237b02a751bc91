"""`ringback waiting`: webhooks that wait in the database."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.text import Text

from ringback.cli.client.job_ids import resolve_job_id
from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
    show_pages,
)
from ringback.cli.options import Limit, ListAll, Org, Reason, Yes, text
from ringback.cli.terminal import EXIT_FAILED, BadInputError, confirmed, out
from ringback.cli.views.delivery_view import print_waiting
from ringback.cli.views.formatting import plural
from ringback.metrics import MetricsClient
from ringback.metrics.v1.admin_service_pb2 import (
    CancelWaitingResponse,
    ReleaseWaitingResponse,
    WaitingFilter,
)
from ringback.metrics.v1.delivery_pb2 import WaitReason
from ringback.metrics.v1.metrics_service_pb2 import ListWaitingResponse

_EXAMPLES = """Examples:

    ringback waiting list
    ringback waiting list --why destination --destination google-calendar
    ringback waiting now JOB --reason "The customer asked."
    ringback waiting cancel --destination old-crm --reason "It was shut down."
"""

waiting = App(
    name="waiting",
    help="List, release and cancel webhooks that wait in the database for an attempt.",
    help_epilogue=_EXAMPLES,
)

_Why = Literal["retry", "destination", "order", "forward", "cancelled"]
_Job = Annotated[
    str | None,
    text("The job id of one webhook, or its beginning. Without it, the options select webhooks."),
]
_Destination = Annotated[str, text("Only those that wait for this destination.")]
_WhyOption = Annotated[_Why | None, Parameter(show_default=False, show_choices=False)]


@dataclass(frozen=True, slots=True)
class _Filter:
    """The options that select webhooks, as typed."""

    why: _Why | None = None
    destination: str = ""
    org: str = ""

    @property
    def reason(self) -> WaitReason.ValueType:
        name = f"WAIT_REASON_{(self.why or 'UNSPECIFIED').upper()}"
        return WaitReason.Value(name)

    def message(self) -> WaitingFilter:
        return WaitingFilter(reason=self.reason, destination=self.destination, org_id=self.org)


@waiting.command(name="list")
async def _list(
    *,
    why: _WhyOption = None,
    destination: _Destination = "",
    org: Org = "",
    limit: Limit = 20,
    every: ListAll = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the waiting webhooks, in the order in which they are due.

    Parameters
    ----------
    why
        Only those that wait for this reason: retry, destination, order or forward.
    """
    selected, now = _Filter(why, destination, org), datetime.now(UTC)

    def shown(page: ListWaitingResponse) -> int:
        print_waiting(out(), page.waiting, now)
        return len(page.waiting)

    async with metrics_client(options) as client:
        waits = client.waiting(
            reason=selected.reason,
            destination=selected.destination,
            org_id=selected.org,
            page_size=100 if every else limit,
        )
        nothing = "No webhook waits in the database."
        await show_pages(waits, options, shown, every=every, nothing=nothing, order="first")


@waiting.command(name="now")
async def _now(
    job: _Job = None,
    /,
    *,
    why: _WhyOption = None,
    destination: _Destination = "",
    org: Org = "",
    reason: Reason,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """Make the next attempt due now, of one webhook or of all that match the options.

    The breaker and the pace of a destination still apply.

    Parameters
    ----------
    why
        Only those that wait for this reason: retry, destination or forward.
    """
    selected = _selected(job, _Filter(why, destination, org))
    await _change("released", job, selected, reason, options)


@waiting.command(name="cancel")
def _cancel(
    job: _Job = None,
    /,
    *,
    why: _WhyOption = None,
    destination: _Destination = "",
    org: Org = "",
    reason: str,
    yes: Yes = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """End the wait without another attempt, of one webhook or of all that match the options.

    They become dead letters with the error class `cancelled`, which you can retry or discard.

    Parameters
    ----------
    why
        Only those that wait for this reason: retry, destination, order or forward.
    reason
        The reason, for the audit log and the dead letter.
    """
    selected = _selected(job, _Filter(why, destination, org))
    if not job and not yes:
        if options.json or not sys.stdin.isatty():
            raise BadInputError(
                "There is no terminal to ask for confirmation. Use --yes to cancel without asking."
            )
        if not confirmed("Cancel all waiting webhooks that match?"):
            out().print("Nothing was changed.")
            return EXIT_FAILED
    asyncio.run(_change("cancelled", job, selected, reason, options))
    return 0


def _selected(job: str | None, selected: _Filter) -> WaitingFilter | None:
    """The filter; None for one webhook. Raises BadInputError."""
    if job and selected != _Filter():
        raise BadInputError("Use either a job id or options that select webhooks, not both.")
    if not job and selected == _Filter():
        raise BadInputError("Give a job id, or options such as --destination or --why.")
    return None if job else selected.message()


_Verb = Literal["released", "cancelled"]


async def _change(
    verb: _Verb,
    job: str | None,
    matching: WaitingFilter | None,
    reason: str,
    options: CommonOptions,
) -> None:
    """Change one webhook, or all that match in bounded steps, and print the result."""
    total, message = 0, ""
    async with metrics_client(options) as client:
        job_id = await resolve_job_id(client, job) if job else None
        async for answer in _steps(client, verb, job_id, matching, reason):
            match answer:
                case ReleaseWaitingResponse():
                    total += answer.released
                case CancelWaitingResponse():
                    total += answer.cancelled
            message = answer.message
            if options.json:
                print_json(answer)
    if options.json:
        return
    if not job:
        message = f"{plural(total, 'webhook')} {verb}."
        if not total:
            message += " `ringback waiting list` shows what waits, and what is due already."
    out().print(Text(message), soft_wrap=True)


async def _steps(
    client: MetricsClient,
    verb: _Verb,
    job_id: str | None,
    matching: WaitingFilter | None,
    reason: str,
) -> AsyncGenerator[ReleaseWaitingResponse | CancelWaitingResponse, None]:
    """The answer of each step, until no more webhooks match."""
    has_more = True
    while has_more:
        call = client.release_waiting if verb == "released" else client.cancel_waiting
        answer = await call(job_id or "", matching=matching, reason=reason)
        yield answer
        has_more = matching is not None and answer.has_more
