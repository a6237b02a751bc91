"""The output of `ringback stats`."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.views.formatting import moment
from ringback.local.console import printable
from ringback.metrics.v1.metrics_service_pb2 import EventTypeStats, GetDeliveryStatsResponse

_TYPE_COLUMNS = ("total", "completed", "failed", "dead", "pending", "duplicates")


def summary_table(stats: GetDeliveryStatsResponse) -> RenderableType:
    summary = stats.summary
    start, end = moment(stats.start_time), moment(stats.end_time)
    table = _table(
        Text(f"Webhooks of the last {stats.time_range}  ").append(
            f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", "not bold dim"
        ),
        show_header=False,
    )
    table.add_column(style="dim", min_width=14)
    table.add_column(justify="right")
    table.add_column(style="dim")
    rows = (
        ("total", summary.total, "", ""),
        ("completed", summary.completed, "green", ""),
        ("failed", summary.failed, "yellow", "an attempt failed; the next one is scheduled"),
        ("dead letter", summary.dead_letter, "red", "failed permanently; retry or discard it"),
        ("pending", summary.pending, "", "no attempt finished yet"),
        ("duplicates", summary.duplicates, "", "received before; not part of the total"),
    )
    for name, count, style, words in rows:
        table.add_row(name, _count(count, style), words)
    table.add_row(
        "success rate", summary.success_rate, "completed, of completed, failed and dead letters"
    )
    table.add_row("attempts", summary.avg_attempts, "per webhook, on average")
    return table


def types_table(stats: GetDeliveryStatsResponse) -> RenderableType:
    """A row for each event type, the most frequent first."""
    table = _table("By event type")
    table.header_style = "dim"
    table.add_column("event type", min_width=14, overflow="fold")
    for column in _TYPE_COLUMNS:
        table.add_column(column, justify="right")
    by_total = sorted(stats.by_event_type.items(), key=lambda item: (-item[1].total, item[0]))
    for event_type, counts in by_total:
        table.add_row(printable(event_type), *_counts(counts))
    return table


def _counts(counts: EventTypeStats) -> tuple[Text, ...]:
    # As in REST, `failed` of an event type includes its dead letters; the output separates them.
    return (
        _count(counts.total),
        _count(counts.completed, "green"),
        _count(counts.failed - counts.dead_letter, "yellow"),
        _count(counts.dead_letter, "red"),
        _count(counts.pending),
        _count(counts.duplicates),
    )


def _count(count: int, style: str = "") -> Text:
    return Text(f"{count:,}", style if count else "dim")


def _table(title: str | Text, *, show_header: bool = True) -> Table:
    # With seven columns, the longest event type of Vapi fits into 80 characters.
    table = Table(
        box=None, padding=(0, 1, 0, 0), title=title, title_justify="left", show_header=show_header
    )
    table.title_style = "bold"
    return table
