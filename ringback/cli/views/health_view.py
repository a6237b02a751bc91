"""Shows queue health once, for `ringback health`, and live, for `ringback watch`."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Self

from rich.console import Group, RenderableType
from rich.text import Text

from ringback.cli.views.formatting import duration, moment, plural, reason_words
from ringback.cli.views.layout import name, number, table, words
from ringback.contract import thresholds
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_QUEUE,
    QUARANTINE_QUEUE,
    WORK_QUEUE,
)
from ringback.local.console import printable
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryStatsResponse,
    GetQueueHealthResponse,
    HealthSource,
)


def headline(health: GetQueueHealthResponse) -> Text:
    as_of = Text()
    if health.HasField("timestamp"):
        as_of = Text(f"  as of {moment(health.timestamp):%H:%M:%S} UTC", "dim")
    if health.healthy:
        return Text("Healthy", "bold green").append(as_of)
    broken = [check.name.replace("_", " ") for check in health.checks if not check.ok]
    broken += [
        _unavailable(source)
        for source in health.sources
        if not source.ok and source.name in {"broker", "database"}
    ]
    return Text(f"Not healthy: {', '.join(broken)}", "bold red").append(as_of)


def _unavailable(source: HealthSource) -> str:
    words = f"the {source.name} is unavailable"
    if not source.HasField("read_at"):
        return words
    return f"{words} since {moment(source.read_at):%H:%M:%S} UTC"


def checks_table(health: GetQueueHealthResponse) -> RenderableType:
    rows = table(name(), name(), words(), show_header=False)
    for check in health.checks:
        style = "green" if check.ok else "red"
        mark = Text("✓" if check.ok else "✗", style)
        rows.add_row(mark, check.name.replace("_", " "), Text(check.message))
    return rows


def numbers_table(health: GetQueueHealthResponse) -> RenderableType:
    """The current numbers on the left, those of the last 24 hours on the right."""
    metrics, stats = health.metrics, health.stats
    rows = table(words("In the queues"), number(), words("Last 24 hours"), number(), gap=4)
    rows.add_row("waiting", f"{metrics.waiting:,}", "completed", f"{metrics.completed:,}")
    rows.add_row("active", f"{metrics.active:,}", "failed or dead", f"{metrics.failed:,}")
    rows.add_row("delayed", f"{metrics.delayed:,}", "failure rate", stats.failure_rate)
    for wait in health.waits.by_reason:
        where = f"  in the database: {reason_words(wait.reason)}"
        rows.add_row(where, f"{wait.count:,}", "", "")
    rows.add_row("dead letters", f"{health.dead_letters:,}", "", "")
    return rows


def rates_line(health: GetQueueHealthResponse) -> Text | None:
    """What was accepted and finished per second, and the ages of the oldest unfinished webhooks."""
    if not health.HasField("rates"):
        return None
    rates, oldest = health.rates, health.oldest
    line = Text(
        f"Per second: {rates.accepted:,.1f} accepted, {rates.completed:,.1f} completed, "
        f"{rates.failed_attempts:,.1f} failed attempts, {rates.dead_lettered:,.1f} dead letters."
    )
    ages = (("pending", oldest.pending_s), ("failed", oldest.failed_s))
    if any(age_s for _, age_s in ages):
        words = " and ".join(
            f"{duration(timedelta(seconds=age_s))} ({name})" for name, age_s in ages if age_s
        )
        line.append(f"\nThe oldest unfinished webhooks are at least {words} old.")
    return line


def overdue_line(health: GetQueueHealthResponse) -> Text | None:
    """The oldest attempt that is due and not published, if there is one."""
    overdue = timedelta(seconds=health.waits.oldest_overdue_s)
    if overdue < _OVERDUE:
        return None
    words = f"The oldest waiting webhook is overdue by {duration(overdue)}. "
    return Text(words, "yellow").append("`ringback waiting list` shows it.", "dim")


def processing_line(state: ProcessingState) -> Text:
    """Whether processors consume webhooks, and who paused them and why."""
    if not state.paused:
        if not state.processors:
            return Text("No processor runs: accepted webhooks wait.", "yellow")
        return Text(f"Processing is running on {plural(state.processors, 'processor')}.")
    stopped = f"{state.processors_paused} of {plural(state.processors, 'processor')}"
    line = Text("Processing is paused", "bold yellow")
    line.append(f" since {moment(state.changed_at):%Y-%m-%d %H:%M:%S} UTC", "default")
    line.append(f" by {printable(state.changed_by)}: {printable(state.reason)}", "default")
    return line.append(f"\n{stopped} stopped consuming. `ringback resume` ends the pause.", "dim")


#: Processors publish what is due each second.
_OVERDUE = timedelta(seconds=10)
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
#: A bar is full at this many messages, or at those of the longest queue.
_MIN_FULL_BAR = thresholds.WAITING
#: In the order in which a webhook may pass them; the retry queues come third.
_ORDER = {WORK_QUEUE: 0, BULK_QUEUE: 1, DUE_QUEUE: 3, QUARANTINE_QUEUE: 4, DEAD_LETTER_QUEUE: 5}


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
    rows = table(name("queue", min_width=22), number("waiting"), name(), gap=3)
    full = max((_MIN_FULL_BAR, *(queue.messages for queue in health.queues)))
    for queue in sorted(health.queues, key=lambda queue: (_ORDER.get(queue.queue, 2), queue.queue)):
        style = "" if queue.messages else "dim"
        cells = round(_BAR_WIDTH * queue.messages / full)
        bar = "█" * max(cells, 1 if queue.messages else 0)
        rows.add_row(
            Text(queue.queue, style), Text(f"{queue.messages:,}", style), Text(bar, "blue")
        )
    rows.add_row("in flight", f"{health.metrics.active:,}", "")
    if health.waits.total:
        rows.add_row("in the database", f"{health.waits.total:,}", "")
    return rows


def _rates_table(health: GetQueueHealthResponse, rates: Rates) -> RenderableType:
    totals = {
        "completed": f"{health.metrics.completed:,}",
        "dead letters": f"{health.dead_letters:,} unresolved",
    }
    rows = table(
        name("webhooks", min_width=22), number("per second"), words("last 24 hours"), gap=3
    )
    for kind in _RATES:
        style = _STYLES.get(kind, "")
        rows.add_row(Text(kind, style), _per_second(rates, kind), totals.get(kind, ""))
    return rows


def _per_second(rates: Rates, name: str) -> str:
    rate = rates.per_second(name)
    return "…" if rate is None else f"{rate:,.1f}/s"
