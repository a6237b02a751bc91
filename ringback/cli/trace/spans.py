"""Reads the spans in RINGBACK_TRACE_FILE (OTLP in JSON), and selects those of one webhook."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import orjson

from ringback.contract.telemetry.spans import Attribute
from ringback.local.console import printable

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_ERROR = 2
_VALUES = {"stringValue": str, "intValue": int, "boolValue": bool, "doubleValue": float}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedSpan:
    trace_id: str
    span_id: str
    relation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpan:
    """Times are nanoseconds since 1970. `service` is the process that wrote the span."""

    name: str
    kind: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    is_error: bool
    description: str
    attributes: Mapping[str, Any]
    links: tuple[LinkedSpan, ...]

    def printable(self) -> Self:
        """A copy with printable texts."""
        return replace(
            self,
            name=printable(self.name),
            service=printable(self.service),
            trace_id=printable(self.trace_id),
            description=printable(self.description),
            attributes={
                key: printable(value) if isinstance(value, str) else value
                for key, value in self.attributes.items()
            },
        )


def trace_files(path: Path) -> list[Path]:
    """The trace files, older first: a full file is kept beside the current one."""
    return [one for one in (path.with_name(f"{path.name}.1"), path) if one.is_file()]


def read_spans(path: Path) -> Iterator[RecordedSpan]:
    """Read every span of the file, without lines that are incomplete or invalid.

    Raises OSError.
    """
    with path.open("rb") as lines:
        for line in lines:
            try:
                spans = list(_in_document(orjson.loads(line)))
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            yield from spans


def _in_document(document: Any) -> Iterator[RecordedSpan]:
    for resource in document["resourceSpans"]:
        service = _attributes(resource["resource"]).get("service.name", "")
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _span(span, str(service))


def _span(span: Mapping[str, Any], service: str) -> RecordedSpan:
    status = span.get("status", {})
    return RecordedSpan(
        name=span["name"],
        kind=_KINDS[span.get("kind", 0)],
        service=service,
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        started_ns=int(span["startTimeUnixNano"]),
        ended_ns=int(span["endTimeUnixNano"]),
        is_error=status.get("code") == _ERROR,
        description=status.get("message", ""),
        attributes=_attributes(span),
        links=tuple(_link(link) for link in span.get("links", ())),
    )


def _link(link: Mapping[str, Any]) -> LinkedSpan:
    return LinkedSpan(
        trace_id=link["traceId"],
        span_id=link["spanId"],
        relation=str(_attributes(link).get("ringback.link", "")),
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: _value(one["value"]) for one in holder.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    """Return scalars as they are, and other values, such as a handler's list, as text."""
    for kind, content in value.items():
        return _VALUES.get(kind, str)(content)
    return ""


@dataclass(frozen=True, slots=True)
class SpanTree:
    """A span and its children, in the order of their starts."""

    span: RecordedSpan
    children: tuple["SpanTree", ...]

    @property
    def ended_ns(self) -> int:
        """The end of its last span: a publish may end after its request."""
        return max((self.span.ended_ns, *(child.ended_ns for child in self.children)))

    def all_spans(self) -> Iterable[RecordedSpan]:
        yield self.span
        for child in self.children:
            yield from child.all_spans()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSection:
    """A tree of spans, and its webhook.

    `waited_ns` is the time since all earlier trees ended. `waited_in` is the queue or the
    database, if that is known.
    """

    tree: SpanTree
    job_id: str
    waited_ns: int | None
    waited_in: str


def jobs_between(first: str, last: str, spans: Iterable[RecordedSpan]) -> list[str]:
    """The job ids from `first` to `last`, newest first."""
    found = {job_id for span in spans if first <= (job_id := job_of(span)) <= last}
    return sorted(found, reverse=True)


def family_of(job_id: str, spans: Iterable[RecordedSpan]) -> frozenset[str]:
    """The job ids of the webhook, the ones it retries, and its own retries."""
    related: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        one, other = job_of(span), str(span.attributes.get(Attribute.RETRY_OF, ""))
        if one and other:
            related[one].add(other)
            related[other].add(one)
    family, waiting = {job_id}, [job_id]
    while waiting:
        new = related[waiting.pop()] - family
        family |= new
        waiting.extend(new)
    return frozenset(family)


def trace_sections(family: frozenset[str], spans: Sequence[RecordedSpan]) -> list[TraceSection]:
    """All spans of these webhooks, without those of other webhooks in the same trace."""
    selected = _select(family, spans)
    below: dict[str, list[RecordedSpan]] = defaultdict(list)
    for span in sorted(selected.values(), key=lambda one: (one.started_ns, -one.ended_ns)):
        below[span.parent_id if span.parent_id in selected else ""].append(span)
    sections: list[TraceSection] = []
    ended_ns: int | None = None
    routed_to = ""
    for root in below[""]:
        tree = _tree(root, below)
        sections.append(
            TraceSection(
                tree=tree,
                job_id=_job_in(tree, family),
                waited_ns=None if ended_ns is None else root.started_ns - ended_ns,
                waited_in=routed_to,
            )
        )
        ended_ns = max(ended_ns or 0, tree.ended_ns)
        routed_to = _routed_to(tree)
    return sections


def job_of(span: RecordedSpan) -> str:
    return str(span.attributes.get(Attribute.JOB_ID, ""))


def _select(family: frozenset[str], spans: Sequence[RecordedSpan]) -> dict[str, RecordedSpan]:
    by_id = {span.span_id: span for span in spans}
    selected = {span.span_id: span for span in spans if job_of(span) in family}
    direct = set(selected)
    for span in spans:
        if span.span_id in direct:
            _add_ancestors(span, by_id, selected)
        elif not job_of(span) and _is_below_or_links(span, by_id, direct):
            selected[span.span_id] = span
    return selected


def _add_ancestors(
    span: RecordedSpan, by_id: Mapping[str, RecordedSpan], selected: dict[str, RecordedSpan]
) -> None:
    """Add the ancestors that belong to no other webhook."""
    parent = by_id.get(span.parent_id)
    while parent is not None and parent.span_id not in selected and not job_of(parent):
        selected[parent.span_id] = parent
        parent = by_id.get(parent.parent_id)


def _is_below_or_links(
    span: RecordedSpan, by_id: Mapping[str, RecordedSpan], direct: frozenset[str] | set[str]
) -> bool:
    if any(link.span_id in direct for link in span.links):
        return True
    parent = by_id.get(span.parent_id)
    while parent is not None:
        if job_of(parent):
            return parent.span_id in direct
        parent = by_id.get(parent.parent_id)
    return False


def _tree(span: RecordedSpan, below: Mapping[str, Sequence[RecordedSpan]]) -> SpanTree:
    return SpanTree(span, tuple(_tree(child, below) for child in below.get(span.span_id, ())))


def _job_in(tree: SpanTree, family: frozenset[str]) -> str:
    return next((job for span in tree.all_spans() if (job := job_of(span)) in family), "")


def _routed_to(tree: SpanTree) -> str:
    """The queue, or the database, in which the webhook waits after these spans."""
    moves = [_waits_in(span) for span in tree.all_spans()]
    return next(filter(None, reversed(moves)), "")


def _waits_in(span: RecordedSpan) -> str:
    reason = span.attributes.get(Attribute.WAIT_REASON)
    return (
        f"the database ({reason})" if reason else str(span.attributes.get(Attribute.ROUTED_TO, ""))
    )
