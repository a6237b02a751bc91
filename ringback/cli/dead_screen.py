"""The output of the commands about dead letters."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.deliveries_screen import print_deliveries, print_line
from ringback.cli.words import age, duration, error_words, plural
from ringback.local.console import printable
from ringback.metrics.v1.admin_service_pb2 import (
    RetryDeliveriesResponse,
    RetryDeliveryResponse,
    RetryRunState,
    RetryState,
    RunDuplicateResponse,
)
from ringback.metrics.v1.metrics_service_pb2 import FailureGroup, ListDeadLettersResponse


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
        console.print(f"\nThe newest {shown}; there are more: --all lists them.")
    console.print(
        Text("\n`ringback dead show JOB` shows one, `ringback dead retry JOB` retries it.", "dim")
    )


def print_groups(console: Console, groups: Iterable[FailureGroup], now: datetime) -> None:
    """Two lines each, the largest group first."""
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
        Text("\n`ringback dead retry --event-type TYPE --error-class CLASS` retries one.", "dim"),
        soft_wrap=True,
    )


def retried_lines(answer: RetryDeliveryResponse | RunDuplicateResponse) -> Text:
    text = Text(answer.message)
    if isinstance(answer, RunDuplicateResponse):
        text.append(f"\nit was taken for a copy of  {answer.duplicate_of}")
    text.append(f"\nnew job  {answer.new_job_id}")
    if answer.state == RetryState.RETRY_STATE_QUEUED:
        text.append("\nIt reaches the broker within moments.", "yellow")
    if answer.altered:
        text.append(
            "\nIts event differs from what arrived: a part could not be stored as it was.", "yellow"
        )
    if answer.redacted:
        text.append(
            "\nIt carries the redacted copy: the credentials of the original were not kept.",
            "yellow",
        )
    return text.append(f"\n`ringback delivery show {answer.new_job_id}` follows it.", "dim")


def question(matched: int, limit: int, rate_per_s: float) -> Text:
    """A description of the retries before the person confirms them."""
    if not matched:
        return Text("No dead letter matches.")
    count = min(matched, limit)
    text = Text(f"{plural(matched, 'dead letter')} match{'es' if matched == 1 else ''}")
    if count < matched:
        text.append(f"; the {count:,} oldest are to be retried (--limit)")
    took = duration(timedelta(seconds=max(1.0, count / rate_per_s)))
    return text.append(f". At {rate_per_s:g} a second that takes {took} or more.")


def bulk_figures() -> tuple[tuple[str, str], ...]:
    """The text behind the progress bar while retries run."""
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
        table.add_row("ended", "by you; what was retried stays retried")
    elif latest.state != RetryRunState.RETRY_RUN_STATE_FINISHED:
        table.add_row("ended", Text(latest.message or "early", "red"))
    return table
