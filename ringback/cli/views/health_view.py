"""Shows queue health once, for `ringback health`, and live, for `ringback watch`."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.views.formatting import moment, plural
from ringback.contract.topology import DEAD_LETTER_QUEUE, DUE_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from ringback.local.console import printable
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryStatsResponse, GetQueueHealthResponse


def headline(health: GetQueueHealthResponse) -> Text:
    as_of = Text(f"  as of {moment(health.timestamp):%H:%M:%S} UTC", "dim")
    if health.healthy:
        return Text("Healthy", "bold green").append(as_of)
    broken = ", ".join(check.name.replace("_", " ") for check in health.checks if not check.ok)
    return Text(f"Not healthy: {broken}", "bold red").append(as_of)


def checks_table(health: GetQueueHealthResponse) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in health.checks:
        style = "green" if check.ok else "red"
        mark = Text("✓" if check.ok else "✗", style)
        table.add_row(mark, check.name.replace("_", " "), Text(check.message))
    return table


def numbers_table(health: GetQueueHealthResponse) -> RenderableType:
    """The current numbers on the left, those of the last 24 hours on the right."""
    metrics, stats = health.metrics, health.stats
    table = Table(box=None, padding=(0, 4, 0, 0), header_style="bold")
    table.add_column("In the queues", style="dim")
    table.add_column("", justify="right")
    table.add_column("Last 24 hours", style="dim")
    table.add_column("", justify="right")
    table.add_row("waiting", f"{metrics.waiting:,}", "completed", f"{metrics.completed:,}")
    table.add_row("active", f"{metrics.active:,}", "failed", f"{metrics.failed:,}")
    table.add_row("delayed", f"{metrics.delayed:,}", "failure rate", stats.failure_rate)
    table.add_row("dead letters", f"{health.dead_letters:,}", "", "")
    return table


def processing_line(state: ProcessingState) -> Text:
    """Whether processors consume webhooks, and who paused them and why."""
    if not state.paused:
        count = plural(state.processors, "processor") if state.processors else "no processor"
        return Text(f"Processing is running on {count}.")
    stopped = f"{state.processors_paused} of {plural(state.processors, 'processor')}"
    line = Text("Processing is paused", "bold yellow")
    line.append(f" since {moment(state.changed_at):%Y-%m-%d %H:%M:%S} UTC", "default")
    line.append(f" by {printable(state.changed_by)}: {printable(state.reason)}", "default")
    return line.append(f"\n{stopped} stopped consuming. `ringback resume` ends the pause.", "dim")


#: Rates cover this many seconds.
_SPAN_S = 12.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts of the webhooks created since `start`, read at `at_s` of some clock."""

    at_s: float
    start: float
    counts: Mapping[str, int]

    @classmethod
    def of(cls, stats: GetDeliveryStatsResponse, at_s: float) -> Self:
        summary = stats.summary
        counts = {
            "accepted": summary.total + summary.duplicates,
            "completed": summary.completed,
            "dead letters": summary.dead_letter,
            "duplicates": summary.duplicates,
        }
        return cls(at_s, stats.start_time.seconds, counts)


@dataclass(slots=True)
class Rates:
    _samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample | None) -> None:
        """Add a sample; None means that the counts were not available."""
        if sample is None:
            return
        self._samples.append(sample)
        while self._samples[0].at_s < sample.at_s - _SPAN_S:
            self._samples.popleft()

    def per_second(self, name: str) -> float | None:
        """The rate between comparable samples; None before there are two.

        Samples with different starts are not comparable: the oldest webhooks have left the counts.
        """
        grown, elapsed_s = 0, 0.0
        for before, after in pairwise(self._samples):
            if before.start == after.start:
                grown += after.counts[name] - before.counts[name]
                elapsed_s += after.at_s - before.at_s
        return max(0.0, grown / elapsed_s) if elapsed_s else None


_RATES = ("accepted", "completed", "dead letters", "duplicates")
_STYLES = {"completed": "green", "dead letters": "red", "duplicates": "cyan"}
_BAR_WIDTH = 30
#: In the order in which a webhook may pass them; the retry queues come second.
_ORDER = {WORK_QUEUE: 0, DUE_QUEUE: 2, QUARANTINE_QUEUE: 3, DEAD_LETTER_QUEUE: 4}


def watch_view(health: GetQueueHealthResponse, rates: Rates) -> RenderableType:
    return Group(
        headline(health),
        checks_table(health),
        Text(),
        _queues_table(health),
        Text(),
        _rates_table(health, rates),
        Text(),
        processing_line(health.processing),
        Text("Press Ctrl-C to quit.", "dim"),
    )


def one_line(health: GetQueueHealthResponse, rates: Rates) -> Text:
    """The same as one line, for a file or a pipe."""
    metrics = health.metrics
    parts = [
        f"{moment(health.timestamp):%H:%M:%S}",
        "healthy" if health.healthy else "not healthy",
        f"waiting {metrics.waiting}",
        f"active {metrics.active}",
        f"delayed {metrics.delayed}",
        f"dead letters {health.dead_letters}",
        *(f"{name} {_per_second(rates, name)}" for name in ("accepted", "completed")),
    ]
    if health.processing.paused:
        parts.append("paused")
    return Text("  ".join(parts))


def _queues_table(health: GetQueueHealthResponse) -> RenderableType:
    table = _table()
    table.add_column("queue", min_width=22, no_wrap=True)
    table.add_column("waiting", justify="right", min_width=9)
    table.add_column("")
    max_messages = max((queue.messages for queue in health.queues), default=0)
    for queue in sorted(health.queues, key=lambda queue: (_ORDER.get(queue.queue, 1), queue.queue)):
        style = "" if queue.messages else "dim"
        cells = round(_BAR_WIDTH * queue.messages / max_messages) if max_messages else 0
        bar = "█" * max(cells, 1 if queue.messages else 0)
        table.add_row(
            Text(queue.queue, style), Text(f"{queue.messages:,}", style), Text(bar, "blue")
        )
    table.add_row("in flight", f"{health.metrics.active:,}", "")
    return table


def _rates_table(health: GetQueueHealthResponse, rates: Rates) -> RenderableType:
    totals = {
        "completed": f"{health.metrics.completed:,}",
        "dead letters": f"{health.dead_letters:,} unresolved",
    }
    table = _table()
    table.add_column("webhooks", min_width=22)
    table.add_column("per second", justify="right", min_width=9)
    table.add_column("last 24 hours")
    for name in _RATES:
        style = _STYLES.get(name, "")
        table.add_row(Text(name, style), _per_second(rates, name), totals.get(name, ""))
    return table


def _per_second(rates: Rates, name: str) -> str:
    rate = rates.per_second(name)
    return "…" if rate is None else f"{rate:,.1f}/s"


def _table() -> Table:
    return Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
