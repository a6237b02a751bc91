"""The output of `ringback watch`."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.health_screen import checks_table, headline, processing_line
from ringback.cli.rates import Rates
from ringback.cli.words import moment
from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthResponse

_RATES = ("accepted", "completed", "dead letters", "duplicates")
_STYLES = {"completed": "green", "dead letters": "red", "duplicates": "cyan"}
_BAR_WIDTH = 30
#: In the order in which a webhook may pass them; the retry queues come second.
_ORDER = {WORK_QUEUE: 0, QUARANTINE_QUEUE: 2, DEAD_LETTER_QUEUE: 3}


def screen(health: GetQueueHealthResponse, rates: Rates) -> RenderableType:
    return Group(
        headline(health),
        checks_table(health),
        Text(),
        _queues_table(health),
        Text(),
        _rates_table(health, rates),
        Text(),
        processing_line(health.processing),
        Text("Ctrl-C ends this.", "dim"),
    )


def one_line(health: GetQueueHealthResponse, rates: Rates) -> Text:
    """The same as a short line, for a file or a pipe."""
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
    most = max((queue.messages for queue in health.queues), default=0)
    for queue in sorted(health.queues, key=lambda queue: (_ORDER.get(queue.queue, 1), queue.queue)):
        style = "" if queue.messages else "dim"
        cells = round(_BAR_WIDTH * queue.messages / most) if most else 0
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
    table.add_column("a second", justify="right", min_width=9)
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
