import asyncio
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from ringback.cli.as_json import print_json
from ringback.cli.dead_screen import retried_lines
from ringback.cli.delivery_screen import event_text, facts_table, headline, timeline
from ringback.cli.metrics_call import USUAL, Asked, metrics_client
from ringback.cli.terminal import out
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryResponse

_EXAMPLES = """Examples:

    ringback delivery show JOB
    ringback delivery run JOB --reason "Two bookings, not one."
"""

delivery = App(
    name="delivery",
    help="Show one webhook, attempt by attempt, or run a duplicate after all.",
    help_epilogue=_EXAMPLES,
)


@delivery.command(name="show")
def _show(
    job: str,
    /,
    *,
    event: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    asked: Asked = USUAL,
) -> None:
    """Show one webhook: what it is, each attempt on a timeline, and its retries.

    Parameters
    ----------
    job
        The job id, as the gateway answered it.
    event
        Show the event itself, too.
    """
    asyncio.run(_tell(job, asked, with_event=event))


@delivery.command(name="run")
def _run(job: str, /, *, reason: str, asked: Asked = USUAL) -> None:
    """Run a duplicate after all, as a new webhook, because it was not a copy.

    The first webhook does not change.

    Parameters
    ----------
    job
        The job id of the duplicate.
    reason
        Why; it is recorded with the run.
    """
    asyncio.run(_run_duplicate(job, reason, asked))


async def _run_duplicate(job_id: str, reason: str, asked: Asked) -> None:
    async with metrics_client(asked) as client:
        answer = await client.run_duplicate(job_id, reason=reason)
    if asked.json:
        print_json(answer)
    else:
        out().print(retried_lines(answer), soft_wrap=True)


async def _tell(job_id: str, asked: Asked, *, with_event: bool) -> None:
    async with metrics_client(asked) as client:
        found = await client.delivery(job_id)
    if asked.json:
        print_json(found)
    else:
        print_delivery(found, with_event=with_event)


def print_delivery(found: GetDeliveryResponse, *, with_event: bool) -> None:
    console = out()
    now = datetime.now(UTC)
    console.print(headline(found.delivery, now))
    console.print(facts_table(found.delivery))
    console.print()
    for line in timeline(found):
        console.print(line, soft_wrap=not console.is_terminal)
    if with_event:
        console.print()
        # Whole lines, so that the copied text is still JSON.
        console.print(event_text(found.delivery), soft_wrap=True)
