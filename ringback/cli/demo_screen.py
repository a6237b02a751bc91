"""What `ringback demo` shows."""

from collections.abc import Mapping, Sequence

import asyncpg
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ringback.cli.demo_plan import Act
from ringback.cli.demo_watch import Sighting
from ringback.contract.ladder import Ladder
from ringback.contract.status import Status

_STYLES = {
    Status.COMPLETED: "green",
    Status.DUPLICATE: "cyan",
    Status.DEAD_LETTER: "red",
    Status.FAILED: "yellow",
}
_ID_LENGTH = 8
_LONGEST_TEXT = 200


def short_id(job_id: str) -> str:
    """The end of a job id: its beginning is the time, and the same for all of a minute."""
    return job_id[-_ID_LENGTH:]


def deliveries_table(
    acts: Sequence[Act], job_ids: Sequence[str], seen: Mapping[str, Sighting], ladder: Ladder
) -> Table:
    """A line for each webhook of the demo, also for those that are not sent yet."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("job", no_wrap=True, width=_ID_LENGTH)
    table.add_column("event type", no_wrap=True, width=18)
    table.add_column("what it shows", no_wrap=True, width=23)
    table.add_column("where it is", no_wrap=True, width=15)
    table.add_column("age", justify="right", no_wrap=True, width=6)
    for place, act in enumerate(acts):
        job_id = job_ids[place] if place < len(job_ids) else None
        sighting = seen.get(job_id) if job_id else None
        table.add_row(
            short_id(job_id) if job_id else "",
            act.event_type,
            act.shows,
            _where(job_id, sighting, ladder),
            f"{sighting.age_s:.1f} s" if sighting else "",
        )
    return table


def explanations(
    acts: Sequence[Act], job_ids: Sequence[str], seen: Mapping[str, Sighting]
) -> list[RenderableType]:
    """A paragraph for each webhook. Neighbours that ended alike for one reason share theirs."""
    parts: list[RenderableType] = []
    told = ""
    for act, job_id in zip(acts, job_ids, strict=True):
        sighting = seen.get(job_id)
        kept = sighting is not None and sighting.keeps_promise_of(act)
        head = Text("✓ " if kept else "✗ ", "green" if kept else "red")
        head.append(f"{short_id(job_id)}  {act.event_type}", "bold")
        head.append(f"  {act.shows}", "dim")
        parts.append(head)
        paragraph = act.explanation if kept else _broken(act, sighting)
        if paragraph == told:
            paragraph = "As above."
        else:
            told = paragraph
        if sighting is not None and sighting.error and kept:
            paragraph += f" Last error: {sighting.error}"
        parts.append(Padding(Text(paragraph), (0, 0, 0, 2)))
    return parts


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


def _where(job_id: str | None, sighting: Sighting | None, ladder: Ladder) -> Text:
    if job_id is None:
        return Text("to be sent", "dim")
    if sighting is None or sighting.status is Status.PENDING:
        return Text("accepted")
    words = sighting.status.replace("_", " ")
    style = _STYLES.get(sighting.status, "")
    if sighting.status is Status.DUPLICATE:
        return Text(words, style)
    next_s = sighting.next_attempt_in_s(ladder)
    if next_s is not None:
        words = f"retry in {next_s:.0f} s"
    limit = sighting.max_attempts
    return Text(f"{words} {sighting.attempts}/{limit}", style)


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
    text = " / ".join(str(value).strip().splitlines())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
