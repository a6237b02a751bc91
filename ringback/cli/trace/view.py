"""The output of `ringback trace`: a webhook's spans as trees, or as JSON."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from ringback.cli.trace.spans import RecordedSpan, SpanTree, TraceSection
from ringback.cli.views.formatting import duration
from ringback.cli.views.layout import print_indented
from ringback.contract.telemetry.spans import Attribute
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.contract.utc_time import utc_text
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
    (Attribute.WAIT_REASON, "waits: {}"),
    (Attribute.DB_BATCH_SIZE, "shared by {}"),
)
_MIN_GAP_NS = 1_000_000
_MAX_DESCRIPTION = 120
#: Where names begin: after a time and a duration.
_INDENT = 23
_LABEL_WIDTH = 27


def headline(job_id: str, sections: Sequence[TraceSection]) -> Text:
    """The webhook, its type, and its state according to the spans."""
    own = [span for one in sections if one.job_id == job_id for span in one.tree.all_spans()]
    types = (span.attributes.get(Attribute.EVENT_TYPE) for span in own)
    attempts = [span for span in own if _is_attempt(span)]
    line = Text(job_id).append(f"  {printable(str(next(filter(None, types), '')))}", "bold")
    count = len({span.attributes.get(Attribute.ATTEMPT) for span in attempts})
    line.append(f"  {count} attempt{'' if count == 1 else 's'}")
    if any(_is_dead_letter(span) for span in own):
        return line.append(", dead letter", "red")
    outcome = str(attempts[-1].attributes.get(Attribute.OUTCOME, "")) if attempts else ""
    return line.append(f", {outcome}", _OUTCOME_STYLES.get(outcome, "")) if outcome else line


def print_sections(console: Console, job_id: str, sections: Sequence[TraceSection]) -> None:
    """A line for each span, with times in UTC. Sections of another webhook begin with its id."""
    shown_job = job_id
    shown_trace, shown_day = "", ""
    for section in sections:
        gap = _gap(section)
        if gap:
            print_indented(console, gap, _INDENT)
        if section.job_id not in {"", shown_job}:
            shown_job = section.job_id
            print_indented(console, Text(f"webhook {shown_job}", "bold"), _INDENT)
        span = section.tree.span
        day = f"{_time(span.started_ns):%Y-%m-%d} UTC"
        if (day, span.trace_id) != (shown_day, shown_trace):
            about = Text(f"trace {span.trace_id}", "dim")
            begins = "" if day == shown_day else day
            print_indented(console, about, _INDENT, after=Text(f"{begins:<{_INDENT}}", "dim"))
            shown_day, shown_trace = day, span.trace_id
        for before, line in _lines(section.tree, "", ""):
            print_indented(console, line, len(before) + 2, after=before)


def _lines(tree: SpanTree, guide: str, below: str) -> Iterator[tuple[Text, Text]]:
    """The time, the duration and the branches of each span, and its name and notes."""
    span = tree.span
    stamp = f"{_time(span.started_ns):%H:%M:%S.%f}"[:-3]
    label = Text(_label(span), _label_style(span))
    label.pad_right(max(0, _LABEL_WIDTH - len(guide) - len(label)))
    before = Text(f"{stamp}  {_took(span):>7}  {guide}", "dim")
    yield before, label.append("  ").append_text(_notes(span))
    for place, child in enumerate(tree.children):
        is_last = place == len(tree.children) - 1
        branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _lines(child, below + branch, below + further)


def _label(span: RecordedSpan) -> str:
    if _is_dead_letter(span):
        return "dead letter"
    if _is_attempt(span):
        return f"attempt {span.attributes.get(Attribute.ATTEMPT, '?')}"
    return printable(span.name)


def _label_style(span: RecordedSpan) -> str:
    if span.is_error:
        return "bold red"
    return "bold" if span.kind in {"CONSUMER", "SERVER"} else ""


def _notes(span: RecordedSpan) -> Text:
    notes = Text()
    outcome = str(span.attributes.get(Attribute.OUTCOME, ""))
    if outcome and not _is_dead_letter(span):
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


def _error(span: RecordedSpan) -> str:
    kind = printable(str(span.attributes.get(Attribute.ERROR_TYPE, "error")))
    text = printable(span.description)[:_MAX_DESCRIPTION]
    return f"{kind}: {text}" if text else kind


def _gap(section: TraceSection) -> Text | None:
    waited_ns = section.waited_ns
    if waited_ns is None or waited_ns < _MIN_GAP_NS:
        return None
    where = f" in {printable(section.waited_in)}" if section.waited_in else ""
    return Text(f"⋮ {duration(timedelta(microseconds=waited_ns / 1000))}{where}", "dim italic")


def _is_attempt(span: RecordedSpan) -> bool:
    return span.kind == "CONSUMER" and not _is_dead_letter(span)


def _is_dead_letter(span: RecordedSpan) -> bool:
    destination = str(span.attributes.get(Attribute.DESTINATION, ""))
    return span.kind == "CONSUMER" and destination.endswith(DEAD_LETTER_QUEUE)


def _took(span: RecordedSpan) -> str:
    return duration(timedelta(microseconds=(span.ended_ns - span.started_ns) / 1000))


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def trace_document(job_id: str, sections: Sequence[TraceSection]) -> dict[str, Any]:
    """The sections as JSON values, in time order; a trace may occur more than once."""
    return {
        "jobId": job_id,
        "jobIds": list(dict.fromkeys(one.job_id for one in sections if one.job_id)),
        "traces": [
            {
                "traceId": one.tree.span.trace_id,
                "jobId": one.job_id or None,
                "waitedMs": None if one.waited_ns is None else max(0, one.waited_ns) / 1e6,
                "waitedIn": one.waited_in or None,
                "span": _span(one.tree),
            }
            for one in sections
        ],
    }


def _span(tree: SpanTree) -> dict[str, Any]:
    span = tree.span
    began = datetime.fromtimestamp(span.started_ns / 1e9, UTC)
    return {
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id or None,
        "startedAt": utc_text(began, "microseconds"),
        "durationMs": (span.ended_ns - span.started_ns) / 1e6,
        "isError": span.is_error,
        "attributes": dict(span.attributes),
        "links": [
            {"traceId": link.trace_id, "spanId": link.span_id, "relation": link.relation}
            for link in span.links
        ],
        "children": [_span(child) for child in tree.children],
    }
