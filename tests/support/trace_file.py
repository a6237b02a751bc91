"""Reads what processes appended to RINGBACK_TRACE_FILE."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringback.contract.telemetry.spec import SpanSpec

_PLACE = re.compile(r"\{([^}]+)\}")
_ERROR = 2
_KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass(frozen=True, slots=True)
class TracedSpan:
    """A span as it was exported. `links` are trace and span ids by `ringback.link`."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    links: dict[str, tuple[str, str]]
    is_error: bool

    def is_of(self, spec: SpanSpec) -> bool:
        """Whether its name, kind and attributes are as declared."""
        name = _PLACE.sub(lambda place: str(self.attributes.get(place[1], "")), spec.name)
        declared = {str(attribute) for attribute in spec.attributes}
        return (self.name, self.kind) == (name.strip(), spec.kind) and declared.issuperset(
            self.attributes
        )

    @property
    def ids(self) -> tuple[str, str]:
        return self.trace_id, self.span_id


def spans_in(path: Path) -> list[TracedSpan]:
    """All spans, in the order of their beginnings; none where no file is."""
    if not path.exists():
        return []
    documents = map(json.loads, path.read_text(encoding="utf-8").split("\n")[:-1])
    spans = [
        _span(span, _values(resource["resource"]["attributes"])["service.name"])
        for document in documents
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return sorted(spans, key=lambda span: (span.began_ns, -span.ended_ns))


def spans_of(path: Path, job_id: object) -> list[TracedSpan]:
    return [one for one in spans_in(path) if one.attributes.get("ringback.job_id") == str(job_id)]


def outline(spans: Sequence[TracedSpan]) -> list[str]:
    """A line for each span, indented below its parent; what has none among them is not."""
    known = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_id not in known]
    return [line for root in roots for line in _lines(root, spans, "")]


def _lines(span: TracedSpan, spans: Sequence[TracedSpan], indent: str) -> Iterator[str]:
    yield f"{indent}{span.name}{' !' if span.is_error else ''}"
    for child in spans:
        if child.parent_id == span.span_id:
            yield from _lines(child, spans, f"{indent}  ")


def _span(span: dict[str, Any], service: str) -> TracedSpan:
    return TracedSpan(
        service=service,
        name=span["name"],
        kind=_KINDS[span["kind"]],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        began_ns=int(span["startTimeUnixNano"]),
        ended_ns=int(span["endTimeUnixNano"]),
        attributes=_values(span.get("attributes", [])),
        links={
            _values(link["attributes"])["ringback.link"]: (link["traceId"], link["spanId"])
            for link in span.get("links", [])
        },
        is_error=span.get("status", {}).get("code") == _ERROR,
    )


def _values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values()), None) for one in attributes}
