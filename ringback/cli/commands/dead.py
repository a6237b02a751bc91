from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ringback.cli.client.job_ids import resolve_job_id
from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
    show,
    show_pages,
)
from ringback.cli.commands.bulk_retry import (
    BulkRetry,
    DeadLetterFilter,
    detached,
    retry_all_matching,
)
from ringback.cli.commands.deliveries import print_delivery
from ringback.cli.commands.runs import Creation, create_run
from ringback.cli.options import (
    CallId,
    ErrorClass,
    EventType,
    Flag,
    Job,
    Limit,
    ListAll,
    OptionalText,
    Org,
    Reason,
    RunLimit,
    RunRate,
    Since,
    Until,
    Yes,
)
from ringback.cli.terminal import BadInputError, CommandError, out
from ringback.cli.views.delivery_view import print_deliveries, print_groups, retried_lines
from ringback.cli.views.formatting import status_words
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import ListDeadLettersResponse

_EXAMPLES = """Examples:

    ringback dead groups                      count them by type and error
    ringback dead list --event-type hang
    ringback dead show JOB
    ringback dead retry JOB --reason "The shop is back."
    ringback dead retry --error-class TimeoutError --dry-run
    ringback dead retry --all --rate 5 --reason "The shop is back."
    ringback dead discard JOB --reason "A test call."
"""

_NONE = "There are no dead letters."
_HINT = Text("\n`ringback dead show JOB` shows one; `ringback dead retry JOB` retries it.", "dim")

dead = App(
    name="dead",
    help="List, show, retry and discard dead letters: webhooks that failed permanently.",
    help_epilogue=_EXAMPLES,
)


@dead.command(name="list")
async def _list(
    *,
    event_type: EventType = "",
    error_class: ErrorClass = "",
    org: Org = "",
    limit: Limit = 20,
    every: ListAll = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List the unresolved dead letters, newest first."""
    now = datetime.now(UTC)

    def shown(page: ListDeadLettersResponse) -> int:
        print_deliveries(out(), page.dead_letters, now)
        return len(page.dead_letters)

    async with metrics_client(options) as client:
        letters = client.dead_letters(
            event_type=event_type,
            error_class=error_class,
            org_id=org,
            page_size=100 if every else limit,
        )
        if await show_pages(letters, options, shown, every=every, nothing=_NONE):
            out().print(_HINT)


@dead.command(name="groups")
async def _groups(*, org: Org = "", options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Count the dead letters by event type and error class."""
    async with metrics_client(options) as client:
        answer = await anext(client.failure_groups(org_id=org, page_size=1000).by_page())
    if options.json:
        print_json(answer)
    elif answer.groups:
        print_groups(out(), answer.groups, datetime.now(UTC))
    else:
        out().print(_NONE)


@dead.command(name="show")
async def _show(job: Job, /, *, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Show one dead letter with its attempts, errors and event."""
    async with metrics_client(options) as client:
        job_id = await resolve_job_id(client, job)
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


@dead.command(name="retry")
async def _retry(
    job: str | None = None,
    /,
    *,
    event_type: EventType = "",
    error_class: ErrorClass = "",
    call_id: CallId = "",
    since: Since = "",
    until: Until = "",
    org: Org = "",
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    reason: OptionalText = "",
    dry_run: Flag = False,
    limit: RunLimit = 1000,
    rate: RunRate = 10.0,
    yes: Yes = False,
    detach: Flag = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """Retry one dead letter, or all that match the options.

    Many are retried at a limited rate, oldest first; new webhooks have priority. The run stops when
    too many fail again, or with Ctrl-C; finished retries are kept. With --detach it works on the
    server, and `ringback runs` shows and stops it.

    Parameters
    ----------
    job
        The job id of one dead letter, or its beginning. Without it, the options select them.
    every
        Select all dead letters.
    reason
        The reason, for the audit log. Required to retry more than one.
    dry_run
        Only count them.
    limit
        Maximum number to retry.
    rate
        Maximum retries per second.
    detach
        Let the run work on the server, and print its id.
    """
    selected = DeadLetterFilter(event_type, error_class, call_id, since, until, org)
    if job is not None:
        if selected != DeadLetterFilter() or every or dry_run or detach:
            raise BadInputError(
                "Use either a job id or options that select dead letters, not both. --dry-run and "
                "--detach are for many."
            )
        async with metrics_client(options) as client:
            answer = await client.retry_delivery(await resolve_job_id(client, job), reason=reason)
        show(answer, options, retried_lines(answer), soft_wrap=True)
        return 0
    if selected == DeadLetterFilter() and not every:
        raise BadInputError(
            "Give a job id, options such as --event-type, or --all for all dead letters."
        )
    bulk = BulkRetry(selected, reason, limit, rate, dry_run=dry_run, yes=yes, json=options.json)
    if detach:
        creation = Creation(detached(bulk), dry_run=dry_run, yes=yes)
        return await create_run(creation, options)
    return await retry_all_matching(bulk, options.data)


@dead.command(name="discard")
async def _discard(
    job: Job, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Mark a dead letter as not needed. Its event and attempts stay in the log."""
    async with metrics_client(options) as client:
        answer = await client.discard_dead_letter(await resolve_job_id(client, job), reason=reason)
    show(answer, options, answer.message)
