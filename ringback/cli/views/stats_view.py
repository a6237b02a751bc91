"""The output of `ringback stats`."""

from rich.console import RenderableType
from rich.text import Text

from ringback.cli.views.formatting import moment
from ringback.cli.views.layout import label, number, table, words
from ringback.local.console import printable
from ringback.metrics.v1.metrics_service_pb2 import EventTypeStats, GetDeliveryStatsResponse

_TYPE_COLUMNS = ("total", "completed", "failed", "dead", "pending", "duplicates")


def summary_table(stats: GetDeliveryStatsResponse) -> RenderableType:
    summary = stats.summary
    start, end = moment(stats.start_time), moment(stats.end_time)
    title = Text(f"Webhooks of the last {stats.time_range}  ").append(
        f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", "not bold dim"
    )
    lines = table(label(), number(), words(min_width=52), title=title, show_header=False)
    rows = (
        ("total", summary.total, "", ""),
        ("completed", summary.completed, "green", ""),
        ("failed", summary.failed, "yellow", "an attempt failed; the next one is scheduled"),
        ("dead letter", summary.dead_letter, "red", "failed permanently; retry or discard it"),
        ("pending", summary.pending, "", "no attempt finished yet"),
        ("  waiting", summary.waiting, "", "of failed and pending: waits in the database"),
        ("duplicates", summary.duplicates, "", "received before; not part of the total"),
    )
    for name, count, style, meaning in rows:
        lines.add_row(name, _count(count, style), Text(meaning, "dim"))
    for name, figure, meaning in (
        ("success rate", summary.success_rate, "completed, of completed, failed and dead letters"),
        ("attempts", summary.avg_attempts, "per webhook, on average"),
    ):
        lines.add_row(name, figure, Text(meaning, "dim"))
    return lines


def types_table(stats: GetDeliveryStatsResponse) -> RenderableType:
    """A row for each event type, the most frequent first."""
    # With a gap of one, the longest event type of Vapi fits into 80 columns.
    columns = (words("event type", min_width=14), *map(number, _TYPE_COLUMNS))
    rows = table(*columns, title="By event type", gap=1)
    by_total = sorted(stats.by_event_type.items(), key=lambda item: (-item[1].total, item[0]))
    for event_type, counts in by_total:
        rows.add_row(printable(event_type), *_counts(counts))
    return rows


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
