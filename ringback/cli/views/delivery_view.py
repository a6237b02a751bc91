"""Shows lists of webhooks, one webhook with its timeline, and dead letters."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from operator import itemgetter

import orjson
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.views.formatting import (
    OUTCOME_STYLES,
    STATUS_STYLES,
    age,
    duration,
    error_words,
    moment,
    outcome_words,
    plural,
    status_words,
)
from ringback.local.console import printable
from ringback.metrics.v1.admin_service_pb2 import (
    RetryDeliveriesResponse,
    RetryDeliveryResponse,
    RetryRunState,
    RetryState,
    RunDuplicateResponse,
)
from ringback.metrics.v1.delivery_pb2 import (
    Attempt,
    Delivery,
    DeliveryStatus,
    Resolution,
    Retry,
)
from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    GetDeliveryResponse,
    ListDeadLettersResponse,
)

_TYPE_WIDTH = 20


def print_deliveries(console: Console, deliveries: Iterable[Delivery], now: datetime) -> None:
    for delivery in deliveries:
        print_line(console, _head(delivery, now))
        if delivery.error_class or delivery.error_message:
            words = error_words(delivery.error_class, delivery.error_message)
            print_line(console, Text(f"    {words}", "dim"))


def print_line(console: Console, line: Text) -> None:
    """Print a line, cut to the width of a terminal, or whole to a file or pipe."""
    if console.is_terminal:
        console.print(line, no_wrap=True, overflow="ellipsis")
    else:
        console.print(line, soft_wrap=True)


def _head(delivery: Delivery, now: datetime) -> Text:
    line = Text(f"{delivery.job_id}  ")
    line.append(f"{printable(delivery.event_type):<{_TYPE_WIDTH}}  ", "bold")
    attempts = f"{status_words(delivery)} {delivery.attempts}/{delivery.max_attempts}"
    line.append(attempts, STATUS_STYLES.get(delivery.status, ""))
    return line.append(f"  {age(delivery.created_at, now)}", "dim")


_INDENT = " " * 29
_Moment = tuple[datetime, list[Text]]


def headline(delivery: Delivery, now: datetime) -> Text:
    line = Text(f"{delivery.job_id}  ").append(f"{printable(delivery.event_type)}  ", "bold")
    line.append(status_words(delivery), STATUS_STYLES.get(delivery.status, ""))
    if delivery.resolution == Resolution.RESOLUTION_RETRIED:
        is_run = delivery.status == DeliveryStatus.DELIVERY_STATUS_DUPLICATE
        line.append(", run anyway" if is_run else ", retried", "green")
    elif delivery.resolution == Resolution.RESOLUTION_DISCARDED:
        line.append(", discarded", "dim")
    return line.append(f"  {age(delivery.created_at, now)}", "dim")


def facts_table(delivery: Delivery) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("attempts", f"{delivery.attempts} of {delivery.max_attempts}")
    facts = (
        ("call", delivery.call_id),
        ("organisation", delivery.org_id),
        ("endpoint", delivery.endpoint_id),
        ("duplicate of", delivery.duplicate_of),
    )
    for name, value in facts:
        if value:
            table.add_row(name, printable(value))
    if delivery.altered:
        table.add_row("altered", "a part of the event could not be stored as received")
    if delivery.redacted:
        table.add_row(
            "redacted", "credentials in the event were removed; a retry does not have them"
        )
    return table


def timeline(found: GetDeliveryResponse) -> Iterator[Text]:
    """Lines for each entry in time order, with the time since the entry before, in UTC."""
    moments = sorted(_moments(found), key=itemgetter(0))
    before: datetime | None = None
    for time, lines in moments:
        if before is None or before.date() != time.date():
            yield Text(f"{time:%Y-%m-%d} UTC", "dim")
        since = f"+{duration(time - before)}" if before is not None else ""
        stamp = Text(f"  {time:%H:%M:%S}.{time.microsecond // 1000:03d}  ").append(
            f"{since:<11}", "dim"
        )
        yield stamp.append_text(lines[0])
        yield from (Text(_INDENT).append_text(line) for line in lines[1:])
        before = time
    waiting = _waiting(found.delivery)
    if waiting:
        yield Text(f"  {waiting}", "dim")


def event_text(delivery: Delivery) -> Text:
    """The event as indented JSON."""
    if not delivery.HasField("event_data"):
        return Text("The event is written to the log with the first attempt.", "dim")
    try:
        document = orjson.loads(delivery.event_data)
    except orjson.JSONDecodeError:
        return Text(printable(delivery.event_data))
    lines = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode().split("\n")
    return Text("\n".join(map(printable, lines)))


def _moments(found: GetDeliveryResponse) -> Iterator[_Moment]:
    delivery = found.delivery
    accepted = [Text("accepted")]
    if found.HasField("retry_of"):
        accepted = [Text(f"accepted, {_retry_origin(found.retry_of)}"), *_by(found.retry_of)]
    yield moment(delivery.created_at), accepted
    trace_id = ""
    for attempt in found.attempts:
        # The attempts of a webhook usually share a trace. Show its id once.
        yield moment(attempt.started_at), list(_attempt(attempt, shown_trace_id=trace_id))
        trace_id = attempt.trace_id
    if delivery.status == DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER and found.attempts:
        last = max(moment(attempt.ended_at) for attempt in found.attempts)
        yield last, [Text("became a dead letter", "red")]
    if found.HasField("retried_as"):
        retry = found.retried_as
        verb = "run anyway" if retry.HasField("duplicate_of") else "retried"
        words = Text(f"{verb} as {retry.new_job_id}", "green")
        yield moment(retry.created_at), [words, *_by(retry)]
    elif delivery.HasField("resolved_at"):
        yield moment(delivery.resolved_at), [Text("discarded")]


def _attempt(attempt: Attempt, *, shown_trace_id: str) -> Iterator[Text]:
    line = Text(f"attempt {attempt.attempt}  ")
    line.append(outcome_words(attempt), OUTCOME_STYLES.get(attempt.outcome, ""))
    yield line.append(f"  in {duration(timedelta(milliseconds=attempt.duration_ms))}", "dim")
    if attempt.error_class or attempt.error_message:
        yield Text(error_words(attempt.error_class, attempt.error_message))
    if attempt.trace_id not in {"", shown_trace_id}:
        yield Text(f"trace {attempt.trace_id}", "dim")


def _retry_origin(retry: Retry) -> str:
    if not retry.HasField("duplicate_of"):
        return f"as a retry of {retry.job_id}"
    return f"to run {retry.job_id}, which was recognised as a duplicate of {retry.duplicate_of}"


def _by(retry: Retry) -> list[Text]:
    reason = f": {printable(retry.reason)}" if retry.reason else ""
    unpublished = "" if retry.HasField("published_at") else " (not published yet)"
    return [Text(f"by {printable(retry.actor)}{reason}{unpublished}", "dim")]


def _waiting(delivery: Delivery) -> str:
    match delivery.status:
        case DeliveryStatus.DELIVERY_STATUS_PENDING:
            return "Waiting for the first attempt."
        case DeliveryStatus.DELIVERY_STATUS_PROCESSING:
            return "An attempt is running."
        case DeliveryStatus.DELIVERY_STATUS_FAILED:
            return "Waiting for the next attempt."
        case _:
            return ""


def print_dead_letters(
    console: Console, page: ListDeadLettersResponse, now: datetime, *, is_last: bool
) -> None:
    if not page.dead_letters:
        if is_last:
            console.print("There are no dead letters.")
        return
    print_deliveries(console, page.dead_letters, now)
    if not is_last:
        return
    if page.next_page_token:
        shown = plural(len(page.dead_letters), "dead letter")
        console.print(f"\nThese are the newest {shown}. Use --all to list all.")
    console.print(
        Text("\n`ringback dead show JOB` shows one; `ringback dead retry JOB` retries it.", "dim")
    )


def print_groups(console: Console, groups: Iterable[FailureGroup], now: datetime) -> None:
    """Print two lines for each group, the largest first."""
    for group in sorted(groups, key=lambda group: -group.count):
        line = Text(f"{group.count:>7,}  ", "red")
        line.append(f"{printable(group.event_type)}  ", "bold default")
        line.append(printable(group.error_class), "default")
        span = f"newest {age(group.last_seen, now)}, oldest {age(group.first_seen, now)}"
        print_line(console, line.append(f"  {span}", "dim default"))
        if group.latest_error_message:
            words = error_words(group.error_class, group.latest_error_message)
            print_line(console, Text(f"         {words}", "dim"))
    console.print(
        Text(
            "\n`ringback dead retry --event-type TYPE --error-class CLASS` retries a group.", "dim"
        ),
        soft_wrap=True,
    )


def retried_lines(answer: RetryDeliveryResponse | RunDuplicateResponse) -> Text:
    text = Text(answer.message)
    if isinstance(answer, RunDuplicateResponse):
        text.append(f"\nrecognised as a duplicate of  {answer.duplicate_of}")
    text.append(f"\nnew job id  {answer.new_job_id}")
    if answer.state == RetryState.RETRY_STATE_QUEUED:
        text.append("\nIt will be published to the broker in a moment.", "yellow")
    if answer.altered:
        text.append(
            "\nIts event differs from the received one: a part could not be stored.", "yellow"
        )
    if answer.redacted:
        text.append(
            "\nIts event is redacted: the credentials of the original were removed.",
            "yellow",
        )
    return text.append(f"\n`ringback delivery show {answer.new_job_id}` follows it.", "dim")


def question(matched: int, limit: int, rate_per_s: float) -> Text:
    """Describe the retries to confirm."""
    if not matched:
        return Text("No dead letter matches.")
    count = min(matched, limit)
    text = Text(f"{plural(matched, 'dead letter')} match{'es' if matched == 1 else ''}")
    if count < matched:
        text.append(f"; the {count:,} oldest will be retried (--limit)")
    took = duration(timedelta(seconds=max(1.0, count / rate_per_s)))
    return text.append(f". At {rate_per_s:g} per second, that takes at least {took}.")


def bulk_figures() -> tuple[tuple[str, str], ...]:
    """The texts after the progress bar, with their styles."""
    return (
        ("{task.fields[done]:,} completed", "green"),
        ("{task.fields[failed]}", "red"),
        ("{task.fields[words]}", "dim"),
    )


def bulk_table(latest: RetryDeliveriesResponse, *, interrupted: bool) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    table.add_row("matched", f"{latest.matched:,}")
    table.add_row("retried", f"{latest.retried:,}")
    table.add_row("  completed", Text(f"{latest.completed:,}", "green"))
    if latest.failed_again:
        table.add_row("  failed again", Text(f"{latest.failed_again:,}", "red"))
    if latest.skipped:
        table.add_row("skipped", f"{latest.skipped:,}")
    if interrupted:
        table.add_row("ended", "interrupted; finished retries are kept")
    elif latest.state != RetryRunState.RETRY_RUN_STATE_FINISHED:
        table.add_row("ended", Text(latest.message or "early", "red"))
    return table
