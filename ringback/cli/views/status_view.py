"""The output of `ringback status`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.client.probes import QueueCount, ServiceHealth
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    DUE_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.local.running_stack import StackStatus

_STATUS_WORDS = {
    Status.PENDING: "accepted; no attempt yet",
    Status.PROCESSING: "an attempt is running",
    Status.COMPLETED: "processed",
    Status.FAILED: "an attempt failed; the next one is scheduled",
    Status.DEAD_LETTER: "failed permanently; retry or discard it",
    Status.DUPLICATE: "received before",
}
_STATUS_STYLES = {Status.COMPLETED: "green", Status.DEAD_LETTER: "red", Status.FAILED: "yellow"}


def stack_line(stack: StackStatus | None, state_dir: Path) -> RenderableType:
    if stack is None:
        return Text(f"No local stack runs in {state_dir}.", "dim")
    prometheus = f" Prometheus: {stack.prometheus_url}" if stack.prometheus_url else ""
    return Text(
        f"The local stack runs in {state_dir}: process {stack.pid}, up {_age(stack.uptime_s)}."
        f"{prometheus}"
    )


def services_table(services: Sequence[ServiceHealth]) -> RenderableType:
    table = _table("Services", "service", "state", "address")
    for service in services:
        table.add_row(service.name, _state(service), service.url)
    return table


def queues_table(queues: Sequence[QueueCount], schedule: RetrySchedule) -> RenderableType:
    table = _table("Queues", "queue", "waiting", "consumers", "contains")
    for column in (1, 2):
        table.columns[column].justify = "right"
    words = _queue_contents(schedule)
    for queue in queues:
        if queue.ready is None:
            table.add_row(queue.name, Text("missing", "red"), "", "run `ringback topology apply`")
            continue
        table.add_row(queue.name, f"{queue.ready:,}", str(queue.consumers), words[queue.name])
    return table


def counts_table(counts: Mapping[str, int]) -> RenderableType:
    table = _table("Webhooks of the last 24 hours", "status", "webhooks", "meaning")
    table.columns[1].justify = "right"
    for status in Status:
        count = counts.get(status, 0)
        style = _STATUS_STYLES.get(status, "") if count else "dim"
        name = status.replace("_", " ")
        table.add_row(Text(name, style), Text(f"{count:,}", style), _STATUS_WORDS[status])
    return table


def error_text(sentence: str) -> RenderableType:
    return Text(sentence, "red")


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), title=title, title_justify="left")
    table.title_style = "bold"
    table.header_style = "dim"
    for column in columns:
        table.add_column(column, overflow="fold")
    table.columns[0].min_width = 20
    return table


def _state(service: ServiceHealth) -> Text:
    if service.ready:
        return Text("ready", "green")
    if not service.answers:
        return Text("no answer", "red")
    return Text(f"not ready ({', '.join(service.missing)})", "yellow")


def _queue_contents(schedule: RetrySchedule) -> dict[str, str]:
    retry_queues = {
        queue.queue_name: f"webhooks that wait {queue.label} for attempt {queue.attempt + 1}"
        for queue in schedule.retry_queues
    }
    return retry_queues | {
        WORK_QUEUE: "webhooks for their first attempt",
        DUE_QUEUE: "webhooks for a retry that is due",
        REQUEUED_QUEUE: "webhooks returned without an attempt",
        QUARANTINE_QUEUE: "webhooks that crashed a processor",
        DEAD_LETTER_QUEUE: "dead letters to record",
    }


def _age(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
