"""The output of `ringback health`, also used by `pause`, `resume` and `watch`."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.words import moment, plural
from ringback.local.console import printable
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthResponse


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


def figures_table(health: GetQueueHealthResponse) -> RenderableType:
    """Now on the left, the last day on the right."""
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
    """Whether processors consume webhooks, and who decided that last."""
    if not state.paused:
        heard = plural(state.processors, "processor") if state.processors else "no processor"
        return Text(f"Processing runs, on {heard}.")
    noticed = f"{state.processors_paused} of {plural(state.processors, 'processor')}"
    line = Text("Processing is paused", "bold yellow")
    line.append(f" since {moment(state.changed_at):%Y-%m-%d %H:%M:%S} UTC", "default")
    line.append(f" by {printable(state.changed_by)}: {printable(state.reason)}", "default")
    return line.append(f"\n{noticed} stopped taking work. `ringback resume` ends it.", "dim")
