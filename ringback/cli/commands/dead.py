import asyncio
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    OptionalText,
    metrics_client,
    print_json,
)
from ringback.cli.commands.bulk_retry import BulkRetry, DeadLetterFilter, retry_all_matching
from ringback.cli.commands.deliveries import print_delivery
from ringback.cli.terminal import BadInputError, CommandError, out
from ringback.cli.views.delivery_view import print_dead_letters, print_groups, retried_lines
from ringback.cli.views.formatting import status_words
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus

_EXAMPLES = """Examples:

    ringback dead groups                      what was given up, by kind
    ringback dead list --event-type hang
    ringback dead show JOB
    ringback dead retry JOB --reason "The shop is back."
    ringback dead retry --error-class TimeoutError --dry-run
    ringback dead retry --all --rate 5 --reason "The shop is back."
    ringback dead discard JOB --reason "A test call."
"""

_FLAG = Parameter(negative="", show_default=False)

dead = App(
    name="dead",
    help="List, show, retry and discard dead letters: webhooks that were given up.",
    help_epilogue=_EXAMPLES,
)


@dead.command(name="list")
def _list(
    *,
    event_type: OptionalText = "",
    error_class: OptionalText = "",
    org: OptionalText = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 20,
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the dead letters that nobody has resolved, newest first.

    Parameters
    ----------
    event_type
        Only this type, such as end-of-call-report.
    error_class
        Only this kind of failure, such as TimeoutError.
    org
        Only this organisation (a UUID).
    limit
        How many at most: up to 100.
    every
        All there are; with --json, one document per line for each.
    """
    asyncio.run(
        _show_list(DeadLetterFilter(event_type, error_class, org=org), limit, options, every=every)
    )


@dead.command(name="groups")
def _groups(*, org: OptionalText = "", options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Count the dead letters by event type and kind of failure.

    Parameters
    ----------
    org
        Only this organisation (a UUID).
    """
    asyncio.run(_show_groups(org, options))


@dead.command(name="show")
def _show(job: str, /, *, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Show one dead letter: its attempts, why it was given up, and its event.

    Parameters
    ----------
    job
        The job id.
    """
    asyncio.run(_show_one(job, options))


@dead.command(name="retry")
def _retry(
    job: str | None = None,
    /,
    *,
    event_type: OptionalText = "",
    error_class: OptionalText = "",
    call_id: OptionalText = "",
    since: OptionalText = "",
    until: OptionalText = "",
    org: OptionalText = "",
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    reason: OptionalText = "",
    dry_run: Annotated[bool, _FLAG] = False,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 1000,
    rate: Annotated[float, Parameter(validator=Number(gt=0, lte=100))] = 10.0,
    yes: Annotated[bool, _FLAG] = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """Put one dead letter to work again, or all that match.

    Many are retried slowly, oldest first, behind live traffic, and it stops by itself when they
    fail again. Ctrl-C stops it, too: what was retried by then stays retried.

    Parameters
    ----------
    job
        The job id of one. Without it, say which by the options below.
    event_type
        Only this type, such as end-of-call-report.
    error_class
        Only this kind of failure, such as TimeoutError.
    call_id
        Only this call.
    since
        Only those that arrived after this: 2026-01-27T06:30, or 2h for two hours ago. In UTC.
    until
        Only those that arrived before this.
    org
        Only this organisation (a UUID).
    every
        All of them.
    reason
        Why, for those who look later. Many are not retried without one.
    dry_run
        Only count them.
    limit
        How many at most.
    rate
        How many a second at most.
    yes
        Do not ask before retrying many.
    """
    selected = DeadLetterFilter(event_type, error_class, call_id, since, until, org)
    if job is not None:
        if selected != DeadLetterFilter() or every or dry_run:
            raise BadInputError("Name one job id or say which by options, not both.")
        asyncio.run(_retry_one(job, reason, options))
        return 0
    if selected == DeadLetterFilter() and not every:
        raise BadInputError(
            "Name a job id, or say which by options such as --event-type; --all means all."
        )
    bulk = BulkRetry(selected, reason, limit, rate, dry_run=dry_run, yes=yes, json=options.json)
    return asyncio.run(retry_all_matching(bulk, options.data))


@dead.command(name="discard")
def _discard(job: str, /, *, reason: str, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Resolve a dead letter that is not needed. Its event and attempts stay in the log.

    Parameters
    ----------
    job
        The job id.
    reason
        Why, for those who look later.
    """
    asyncio.run(_discard_one(job, reason, options))


async def _show_list(
    selected: DeadLetterFilter, limit: int, options: CommonOptions, *, every: bool
) -> None:
    async with metrics_client(options) as client:
        letters = client.dead_letters(
            event_type=selected.event_type,
            error_class=selected.error_class,
            org_id=selected.org,
            page_size=100 if every else limit,
        )
        if options.json and every:
            async for letter in letters:
                print_json(letter)
            return
        if options.json:
            print_json(await anext(letters.by_page()))
            return
        now = datetime.now(UTC)
        async for page in letters.by_page():
            is_last = not every or not page.next_page_token
            print_dead_letters(out(), page, now, is_last=is_last)
            if is_last:
                break


async def _show_groups(org: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        pages = client.failure_groups(org_id=org, page_size=1000).by_page()
        answer = await anext(pages)
    if options.json:
        print_json(answer)
    elif answer.groups:
        print_groups(out(), answer.groups, datetime.now(UTC))
    else:
        out().print("There are no dead letters.")


async def _show_one(job_id: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        found = await client.delivery(job_id)
    if found.delivery.status != DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER:
        raise CommandError(
            f"{job_id} is not a dead letter but {status_words(found.delivery)}; "
            f"`ringback delivery show {job_id}` shows it."
        )
    if options.json:
        print_json(found)
    else:
        print_delivery(found, with_event=True)


async def _retry_one(job_id: str, reason: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        answer = await client.retry_delivery(job_id, reason=reason)
    if options.json:
        print_json(answer)
    else:
        out().print(retried_lines(answer), soft_wrap=True)


async def _discard_one(job_id: str, reason: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        answer = await client.discard_dead_letter(job_id, reason=reason)
    if options.json:
        print_json(answer)
    else:
        out().print(answer.message)
