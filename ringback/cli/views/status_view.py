"""The output of `ringback status`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ringback.cli.client.probes import QueueCount, ServiceHealth
from ringback.cli.views.formatting import plural
from ringback.cli.views.layout import name, number, table, words
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.contract.topology import (
    BULK_QUEUE,
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


def stack_line(
    stack: StackStatus | None, state_dir: Path, services: Sequence[ServiceHealth]
) -> RenderableType:
    if stack is None and any(service.answers for service in services):
        return Text(
            f"No local stack runs in {state_dir}, but services answer on its ports. If they are of "
            "a stack in another folder, use --data with its data folder.",
            "yellow",
        )
    if stack is None:
        return Text(f"No local stack runs in {state_dir}.", "dim")
    prometheus = f" Prometheus: {stack.prometheus_url}" if stack.prometheus_url else ""
    return Text(
        f"The local stack runs in {state_dir}: process {stack.pid}, up {_age(stack.uptime_s)}."
        f"{prometheus}"
    )


def services_table(services: Sequence[ServiceHealth]) -> RenderableType:
    """Where callers reach each service, and where it reports its health and its metrics."""
    columns = (name("service"), words("state"), words("address"), words("health, metrics"))
    rows = table(*columns, title="Services")
    for service in services:
        probed = service.url.removeprefix("http://")
        rows.add_row(service.name, _state(service), "\n".join(service.addresses), probed)
    return rows


def queues_table(queues: Sequence[QueueCount], schedule: RetrySchedule) -> RenderableType:
    columns = (name("queue"), number("waiting"), number("consumers"), words("contains"))
    rows = table(*columns, title="Queues", gap=3)
    contents = _queue_contents(schedule)
    for queue in queues:
        if queue.ready is None:
            rows.add_row(queue.name, Text("missing", "red"), "", "run `ringback topology apply`")
            continue
        rows.add_row(queue.name, f"{queue.ready:,}", str(queue.consumers), contents[queue.name])
    return rows


@dataclass(frozen=True, slots=True)
class WebhookCounts:
    """Webhooks of the last 24 hours, and those of any age that wait in the database."""

    by_status: Mapping[str, int]
    waiting: int


def counts_table(counts: WebhookCounts) -> RenderableType:
    columns = (name("status", min_width=19), number("webhooks"), words("meaning"))
    rows = table(*columns, title="Webhooks of the last 24 hours", gap=3)
    for status in Status:
        count = counts.by_status.get(status, 0)
        style = _STATUS_STYLES.get(status, "") if count else "dim"
        shown = status.replace("_", " ")
        rows.add_row(Text(shown, style), Text(f"{count:,}", style), _STATUS_WORDS[status])
    return Group(rows, _waiting_line(counts.waiting))


def _waiting_line(count: int) -> Text:
    """How many of the pending and failed webhooks wait in the database."""
    if not count:
        return Text("No webhook waits in the database.", "dim")
    verb = "waits" if count == 1 else "wait"
    words = f"{plural(count, 'webhook')} of any age {verb} in the database: "
    return Text(words).append("`ringback waiting list` shows why.", "dim")


def status_document(
    stack: StackStatus | None,
    services: Sequence[ServiceHealth],
    queues: Sequence[QueueCount] | str,
    counts: WebhookCounts | str,
) -> dict[str, Any]:
    """The same as JSON values. What could not be read is null, with the cause in `errors`."""
    return {
        "stack": stack
        and {"pid": stack.pid, "uptimeS": stack.uptime_s, "prometheusUrl": stack.prometheus_url},
        "services": [
            {
                "name": one.name,
                "ready": one.ready,
                "answers": one.answers,
                "missing": one.missing,
                "addresses": one.addresses,
                "observabilityUrl": one.url,
            }
            for one in services
        ],
        "queues": None
        if isinstance(queues, str)
        else [
            {"queue": one.name, "messages": one.ready, "consumers": one.consumers} for one in queues
        ],
        "webhooks": None
        if isinstance(counts, str)
        else {one: counts.by_status.get(one, 0) for one in Status},
        "waiting": None if isinstance(counts, str) else counts.waiting,
        "errors": [one for one in (queues, counts) if isinstance(one, str)],
    }


def error_text(sentence: str) -> RenderableType:
    return Text(sentence, "red")


def _state(service: ServiceHealth) -> Text:
    if service.ready:
        return Text("ready", "green")
    if not service.answers:
        return Text("no answer", "red")
    return Text(f"not ready ({', '.join(service.missing)})", "yellow")


def _queue_contents(schedule: RetrySchedule) -> dict[str, str]:
    retry_queues = {
        queue.queue_name: f"wait {queue.label} for attempt {queue.attempt + 1}"
        for queue in schedule.retry_queues
    }
    return retry_queues | {
        WORK_QUEUE: "first attempts",
        BULK_QUEUE: "first attempts above an org's rate",
        DUE_QUEUE: "retries that are due",
        REQUEUED_QUEUE: "returned without an attempt",
        QUARANTINE_QUEUE: "crashed a processor",
        DEAD_LETTER_QUEUE: "dead letters to record",
    }


def _age(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
