"""The output of `ringback trace`: a webhook's spans as trees, in time order."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.table import Table
from rich.text import Text

from ringback.cli.trace_spans import ReadSpan
from ringback.cli.trace_story import Chapter, SpanTree
from ringback.cli.words import duration
from ringback.contract.telemetry.spans import Attribute
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.local.console import printable

_OUTCOME_STYLES = {
    "completed": "green",
    "failed": "yellow",
    "permanent": "red",
    "duplicate": "cyan",
}
_NOTED = (
    (Attribute.HTTP_STATUS, "{}"),
    (Attribute.RPC_STATUS, "{}"),
    (Attribute.REJECTION, "{}"),
    (Attribute.DUPLICATE_OF, "of {}"),
    (Attribute.DB_BATCH_SIZE, "shared by {}"),
)
_SHORTEST_GAP_NS = 1_000_000
_LONGEST_DESCRIPTION = 120


def headline(job_id: str, chapters: Sequence[Chapter]) -> Text:
    """The webhook, its type, and its state according to the traces."""
    own = [span for one in chapters if one.job_id == job_id for span in one.tree.all_spans()]
    types = (span.attributes.get(Attribute.EVENT_TYPE) for span in own)
    attempts = [span for span in own if _is_attempt(span)]
    line = Text(job_id).append(f"  {printable(str(next(filter(None, types), '')))}", "bold")
    count = len({span.attributes.get(Attribute.ATTEMPT) for span in attempts})
    line.append(f"  {count} attempt{'' if count == 1 else 's'}")
    if any(_is_burial(span) for span in own):
        return line.append(", dead letter", "red")
    outcome = str(attempts[-1].attributes.get(Attribute.OUTCOME, "")) if attempts else ""
    return line.append(f", {outcome}", _OUTCOME_STYLES.get(outcome, "")) if outcome else line


def story_table(job_id: str, chapters: Sequence[Chapter]) -> Table:
    """Times are UTC, to the millisecond. Entries of another webhook begin with its id."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    told_job = job_id
    told_trace, told_day = "", ""
    for chapter in chapters:
        gap = _gap(chapter)
        if gap:
            table.add_row("", gap)
        if chapter.job_id not in {"", told_job}:
            told_job = chapter.job_id
            table.add_row("", Text(f"webhook {told_job}", "bold"))
        span = chapter.tree.span
        day = f"{_time(span.began_ns):%Y-%m-%d} UTC"
        if (day, span.trace_id) != (told_day, told_trace):
            about = Text(f"trace {span.trace_id}", "dim")
            table.add_row("" if day == told_day else day, about)
            told_day, told_trace = day, span.trace_id
        for row in _rows(chapter.tree, "", ""):
            table.add_row(*row)
    return table


def _rows(tree: SpanTree, guide: str, below: str) -> Iterator[tuple[Text | str, ...]]:
    span = tree.span
    stamp = f"{_time(span.began_ns):%H:%M:%S.%f}"[:-3]
    label = Text(guide, "dim").append(_label(span), _label_style(span))
    yield stamp, label, Text(_took(span), "dim"), _notes(span)
    for place, child in enumerate(tree.children):
        is_last = place == len(tree.children) - 1
        branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _rows(child, below + branch, below + further)


def _label(span: ReadSpan) -> str:
    if _is_burial(span):
        return "dead letter"
    if _is_attempt(span):
        return f"attempt {span.attributes.get(Attribute.ATTEMPT, '?')}"
    return printable(span.name)


def _label_style(span: ReadSpan) -> str:
    if span.is_error:
        return "bold red"
    return "bold" if span.kind in {"CONSUMER", "SERVER"} else ""


def _notes(span: ReadSpan) -> Text:
    notes = Text()
    outcome = str(span.attributes.get(Attribute.OUTCOME, ""))
    if outcome and not _is_burial(span):
        notes.append(f"{printable(outcome)}  ", _OUTCOME_STYLES.get(outcome, ""))
    if span.attributes.get(Attribute.IS_REPEATED):
        notes.append("repeated  ", "cyan")
    for attribute, words in _NOTED:
        if attribute in span.attributes:
            notes.append(f"{words.format(printable(str(span.attributes[attribute])))}  ", "dim")
    if span.is_error:
        notes.append(_error(span), "red")
    notes.rstrip()
    return notes


def _error(span: ReadSpan) -> str:
    kind = printable(str(span.attributes.get(Attribute.ERROR_TYPE, "error")))
    told = printable(span.description)[:_LONGEST_DESCRIPTION]
    return f"{kind}: {told}" if told else kind


def _gap(chapter: Chapter) -> Text | None:
    waited_ns = chapter.waited_ns
    if waited_ns is None or waited_ns < _SHORTEST_GAP_NS:
        return None
    where = f" in {printable(chapter.waited_in)}" if chapter.waited_in else ""
    return Text(f"⋮ {duration(timedelta(microseconds=waited_ns / 1000))}{where}", "dim italic")


def _is_attempt(span: ReadSpan) -> bool:
    return span.kind == "CONSUMER" and not _is_burial(span)


def _is_burial(span: ReadSpan) -> bool:
    destination = str(span.attributes.get(Attribute.DESTINATION, ""))
    return span.kind == "CONSUMER" and destination.endswith(DEAD_LETTER_QUEUE)


def _took(span: ReadSpan) -> str:
    return duration(timedelta(microseconds=(span.ended_ns - span.began_ns) / 1000))


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
