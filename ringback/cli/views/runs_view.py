"""The output of `ringback runs`."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.views.formatting import age, moment
from ringback.cli.views.layout import print_line
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1 import admin_service_pb2 as admin

_STYLES = {
    admin.RETRY_RUN_STATE_FINISHED: "green",
    admin.RETRY_RUN_STATE_STOPPED: "red",
    admin.RETRY_RUN_STATE_FAILED: "red",
    admin.RETRY_RUN_STATE_PAUSED: "yellow",
    admin.RETRY_RUN_STATE_HELD: "yellow",
}


def print_runs(console: Console, runs: Iterable[admin.RetryRun], now: datetime) -> None:
    """For each: its id, kind and state; how far it is; who and why."""
    for run in runs:
        line = (
            Text(f"{run.run_id}  {_kind(run)}  ")
            .append(_state(run))
            .append(f"  {age(run.created_at, now)}")
        )
        print_line(console, line)
        print_line(console, Text(f"    {_numbers(run)}"))
        print_line(console, Text(f"    by {run.actor}: {run.reason}", "dim"))


def run_table(run: admin.RetryRun, now: datetime) -> RenderableType:
    """Everything about a run."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("run", run.run_id)
    table.add_row("retries", f"{_kind(run)}{_selected(run.filter)}")
    table.add_row("created", f"{age(run.created_at, now)} by {run.actor}")
    table.add_row("reason", run.reason)
    table.add_row("state", _state(run).append(f"  {run.message}", "default"))
    table.add_row("limits", f"{run.limit:,} webhooks, {run.rate_per_second:g} per second")
    at_least = "at least " if run.matched_is_minimum else ""
    table.add_row("matched", f"{at_least}{run.matched:,}")
    table.add_row("retried", f"{run.retried:,}")
    table.add_row("  completed", Text(f"{run.completed:,}", "green"))
    if run.failed_again:
        table.add_row("  failed again", Text(f"{run.failed_again:,}", "red"))
    if run.unfinished:
        table.add_row("  unfinished", f"{run.unfinished:,}")
    if run.skipped:
        table.add_row("skipped", f"{run.skipped:,}")
    if run.HasField("ended_at"):
        table.add_row("ended", age(run.ended_at, now))
    return table


def preview_lines(preview: admin.RetryRunPreview) -> Text:
    """What a run would do."""
    text = Text(preview.message)
    for group in preview.groups:
        text.append(f"\n    {group.count:>7,}  {group.event_type}  {group.error_class}".rstrip())
    if preview.redacted:
        text.append(
            f"\nRedacted: {preview.redacted:,} of the {preview.examined:,} oldest. Handlers get "
            "them without credentials."
        )
    if preview.altered:
        text.append(f"\n{preview.altered:,} could not be stored unchanged.")
    return text.append(
        f"\nNow {preview.live_rate_per_second:.1f} webhooks arrive per second; the run adds up to "
        f"{preview.allowed_rate_per_second:.1f}."
    )


def _kind(run: admin.RetryRun) -> str:
    is_replay = run.kind == admin.RETRY_RUN_KIND_COMPLETED
    return "completed webhooks" if is_replay else "dead letters"


def _state(run: admin.RetryRun) -> Text:
    word = words_of(admin.RetryRunState.DESCRIPTOR).get(run.state, "unknown")
    return Text(word, _STYLES.get(run.state, "cyan"))


def _numbers(run: admin.RetryRun) -> str:
    total = min(run.matched, run.limit)
    text = f"{run.retried:,} of {total:,} retried, {run.completed:,} completed"
    return f"{text}, {run.failed_again:,} failed again" if run.failed_again else text


def _selected(chosen: admin.DeadLetterFilter) -> str:
    words = [value for value in (chosen.event_type, chosen.error_class, chosen.call_id) if value]
    if chosen.HasField("start_time"):
        words.append(f"from {moment(chosen.start_time):%Y-%m-%d %H:%M:%S}")
    if chosen.HasField("end_time"):
        words.append(f"before {moment(chosen.end_time):%Y-%m-%d %H:%M:%S}")
    return f": {', '.join(words)}" if words else ""
