"""The output of `ringback demo`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import asyncpg
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ringback.cli.demo.steps import DeliverySnapshot, DemoStep
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.local.console import printable

_STYLES = {
    Status.COMPLETED: "green",
    Status.DUPLICATE: "cyan",
    Status.DEAD_LETTER: "red",
    Status.FAILED: "yellow",
}
_MAX_TEXT = 200


def deliveries_table(
    steps: Sequence[DemoStep],
    job_ids: Sequence[str],
    seen: Mapping[str, DeliverySnapshot],
    schedule: RetrySchedule,
) -> Table:
    """A line for each webhook of the demo, sent or not."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("event type", no_wrap=True, width=18)
    table.add_column("scenario", no_wrap=True, width=23)
    table.add_column("state", no_wrap=True, width=17)
    table.add_column("elapsed", justify="right", no_wrap=True, width=7)
    for place, step in enumerate(steps):
        job_id = job_ids[place] if place < len(job_ids) else None
        snapshot = seen.get(job_id) if job_id else None
        table.add_row(
            step.event_type,
            step.shows,
            _where(job_id, snapshot, schedule),
            _elapsed(snapshot.elapsed_s) if snapshot else "",
        )
    return table


def explanations(
    steps: Sequence[DemoStep], job_ids: Sequence[str], seen: Mapping[str, DeliverySnapshot]
) -> list[RenderableType]:
    """A paragraph for each webhook; consecutive ones with the same explanation share it."""
    entries = [
        (_head(step, job_id, seen), _paragraph(step, seen.get(job_id)))
        for step, job_id in zip(steps, job_ids, strict=True)
    ]
    parts: list[RenderableType] = []
    for paragraph, group in groupby(entries, key=itemgetter(1)):
        parts += [head for head, _ in group]
        parts.append(Padding(Text(paragraph), (0, 0, 1, 2), expand=False))
    return parts


def _head(step: DemoStep, job_id: str, seen: Mapping[str, DeliverySnapshot]) -> Text:
    snapshot = seen.get(job_id)
    as_expected = snapshot is not None and snapshot.matches(step)
    head = Text("✓ " if as_expected else "✗ ", "green" if as_expected else "red")
    head.append(step.event_type, "bold default").append(f"  {step.shows}", "dim default")
    return head.append(f"\n  {job_id}", "default")


def _paragraph(step: DemoStep, snapshot: DeliverySnapshot | None) -> str:
    if snapshot is None or not snapshot.matches(step):
        return _mismatch(step, snapshot)
    error = f"\nLast error: {snapshot.error}" if snapshot.error else ""
    return step.explanation + error


def call_table(call: asyncpg.Record) -> Table:
    """The row of voice_calls, a line for each column."""
    table = Table(
        box=None, show_header=False, padding=(0, 2, 0, 0), title="The call's row in voice_calls"
    )
    table.title_justify, table.title_style = "left", "bold"
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for column, value in call.items():
        table.add_row(column, Text(_value(value)))
    return table


def _where(job_id: str | None, snapshot: DeliverySnapshot | None, schedule: RetrySchedule) -> Text:
    if job_id is None:
        return Text("not sent yet", "dim")
    if snapshot is None or snapshot.status is Status.PENDING:
        return Text("accepted")
    words = snapshot.status.replace("_", " ")
    style = _STYLES.get(snapshot.status, "")
    if snapshot.status is Status.DUPLICATE:
        return Text(words, style)
    next_s = snapshot.next_attempt_in_s(schedule)
    if next_s is not None:
        words = f"retry in {next_s:.0f} s"
    limit = snapshot.max_attempts
    return Text(f"{words} {snapshot.attempts}/{limit}", style)


def _elapsed(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _mismatch(step: DemoStep, snapshot: DeliverySnapshot | None) -> str:
    status = step.expected_status.replace("_", " ")
    expected = f"Expected {status} after {step.attempts} attempts"
    if snapshot is None:
        return f"{expected}, but the delivery log does not contain it."
    if snapshot.status is Status.COMPLETED:
        return (
            f"{expected}, but it completed at attempt {snapshot.attempts}. Add "
            "ringback.cli.demo.handlers to the processor's RINGBACK_HANDLERS."
        )
    error = f" Last error: {snapshot.error}" if snapshot.error else ""
    return (
        f"{expected}, but it is {snapshot.status.replace('_', ' ')} after "
        f"{snapshot.attempts}.{error}"
    )


def _value(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z")
    text = printable(" / ".join(str(value).strip().splitlines()))
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
