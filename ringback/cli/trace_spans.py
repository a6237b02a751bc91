"""Spans as the services appended them to RINGBACK_TRACE_FILE: OTLP in JSON, a document per line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import orjson

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
class ReadSpan:
    """Times are nanoseconds since 1970. `service` is the process that wrote the span."""

    name: str
    kind: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    is_error: bool
    description: str
    attributes: Mapping[str, Any]
    links: tuple[LinkedSpan, ...]

    def for_screen(self) -> Self:
        """The same with each text on one line."""
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
    """The files that contain spans, older first: a full one is kept beside the current one."""
    return [one for one in (path.with_name(f"{path.name}.1"), path) if one.is_file()]


def read_spans(path: Path) -> Iterator[ReadSpan]:
    """Every span of the file. A line that is not a document of spans is skipped.

    The last line may be incomplete while a process writes it. Raises OSError.
    """
    with path.open("rb") as lines:
        for line in lines:
            try:
                spans = list(_in_document(orjson.loads(line)))
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            yield from spans


def _in_document(document: Any) -> Iterator[ReadSpan]:
    for resource in document["resourceSpans"]:
        service = _attributes(resource["resource"]).get("service.name", "")
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _span(span, str(service))


def _span(span: Mapping[str, Any], service: str) -> ReadSpan:
    status = span.get("status", {})
    return ReadSpan(
        name=span["name"],
        kind=_KINDS[span.get("kind", 0)],
        service=service,
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        began_ns=int(span["startTimeUnixNano"]),
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
    [(kind, told)] = value.items()
    return _VALUES[kind](told)
