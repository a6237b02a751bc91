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

from ringback.cli.demo_plan import Act
from ringback.cli.demo_watch import Sighting
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.local.console import printable

_STYLES = {
    Status.COMPLETED: "green",
    Status.DUPLICATE: "cyan",
    Status.DEAD_LETTER: "red",
    Status.FAILED: "yellow",
}
_ID_LENGTH = 8
_LONGEST_TEXT = 200


def short_id(job_id: str) -> str:
    """The end of a job id: its beginning is the time, which is the same for a whole minute."""
    return job_id[-_ID_LENGTH:]


def deliveries_table(
    acts: Sequence[Act],
    job_ids: Sequence[str],
    seen: Mapping[str, Sighting],
    schedule: RetrySchedule,
) -> Table:
    """A line for each webhook of the demo, including unsent ones."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("job", no_wrap=True, width=_ID_LENGTH)
    table.add_column("event type", no_wrap=True, width=18)
    table.add_column("what it shows", no_wrap=True, width=23)
    table.add_column("where it is", no_wrap=True, width=17)
    table.add_column("age", justify="right", no_wrap=True, width=6)
    for place, act in enumerate(acts):
        job_id = job_ids[place] if place < len(job_ids) else None
        sighting = seen.get(job_id) if job_id else None
        table.add_row(
            short_id(job_id) if job_id else "",
            act.event_type,
            act.shows,
            _where(job_id, sighting, schedule),
            _age(sighting.age_s) if sighting else "",
        )
    return table


def explanations(
    acts: Sequence[Act], job_ids: Sequence[str], seen: Mapping[str, Sighting]
) -> list[RenderableType]:
    """A paragraph for each webhook; neighbours with the same explanation share one."""
    told = [
        (_head(act, job_id, seen), _paragraph(act, seen.get(job_id)))
        for act, job_id in zip(acts, job_ids, strict=True)
    ]
    parts: list[RenderableType] = []
    for paragraph, group in groupby(told, key=itemgetter(1)):
        parts += [head for head, _ in group]
        parts.append(Padding(Text(paragraph), (0, 0, 1, 2)))
    return parts


def _head(act: Act, job_id: str, seen: Mapping[str, Sighting]) -> Text:
    sighting = seen.get(job_id)
    kept = sighting is not None and sighting.keeps_promise_of(act)
    head = Text("✓ " if kept else "✗ ", "green" if kept else "red")
    head.append(f"{short_id(job_id)}  {act.event_type}", "bold default")
    return head.append(f"  {act.shows}", "dim default")


def _paragraph(act: Act, sighting: Sighting | None) -> str:
    if sighting is None or not sighting.keeps_promise_of(act):
        return _broken(act, sighting)
    error = f"\nLast error: {sighting.error}" if sighting.error else ""
    return act.explanation + error


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


def _where(job_id: str | None, sighting: Sighting | None, schedule: RetrySchedule) -> Text:
    if job_id is None:
        return Text("to be sent", "dim")
    if sighting is None or sighting.status is Status.PENDING:
        return Text("accepted")
    words = sighting.status.replace("_", " ")
    style = _STYLES.get(sighting.status, "")
    if sighting.status is Status.DUPLICATE:
        return Text(words, style)
    next_s = sighting.next_attempt_in_s(schedule)
    if next_s is not None:
        words = f"retry in {next_s:.0f} s"
    limit = sighting.max_attempts
    return Text(f"{words} {sighting.attempts}/{limit}", style)


def _age(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _broken(act: Act, sighting: Sighting | None) -> str:
    promised = f"It was to end as {act.ends_as.replace('_', ' ')} after {act.attempts} attempts"
    if sighting is None:
        return f"{promised}, but the delivery log does not know it."
    if sighting.status is Status.COMPLETED:
        return (
            f"{promised}, but it was completed at attempt {sighting.attempts}. Name "
            "ringback.cli.demo_handlers in the processor's RINGBACK_HANDLERS."
        )
    error = f" Last error: {sighting.error}" if sighting.error else ""
    return (
        f"{promised}, but it is {sighting.status.replace('_', ' ')} after "
        f"{sighting.attempts}.{error}"
    )


def _value(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z")
    text = printable(" / ".join(str(value).strip().splitlines()))
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
