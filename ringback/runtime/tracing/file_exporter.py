"""Appends spans to a file: OTLP in JSON, one document per line."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

import orjson

import ringback
from ringback.contract.telemetry.spans import Attribute
from ringback.runtime.tracing.resource import SCOPE
from ringback.runtime.tracing.shape import Value
from ringback.runtime.tracing.span import Link, RecordedSpan
from ringback.runtime.tracing.span_queue import ExportError
from ringback.runtime.tracing.well_formed import well_formed

_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_ERROR = 2
_NOT_FINITE = {inf: "Infinity", -inf: "-Infinity"}
_LARGEST_BYTES = 64 * 1024 * 1024


class FileExporter:
    """Several processes may append to one file. A full file is renamed with the suffix `.1`."""

    def __init__(
        self, path: Path, resource: Mapping[str, Value], *, largest_bytes: int = _LARGEST_BYTES
    ) -> None:
        self._path = path
        self._resource = {"attributes": _attributes(resource)}
        self._largest_bytes = largest_bytes

    def export(self, spans: Sequence[RecordedSpan]) -> None:
        document = {
            "resourceSpans": [
                {
                    "resource": self._resource,
                    "scopeSpans": [
                        {
                            "scope": {"name": SCOPE, "version": ringback.__version__},
                            "spans": [_document_of(span) for span in spans],
                        }
                    ],
                }
            ]
        }
        try:
            self._append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as exc:
            raise ExportError(exc.strerror or str(exc)) from exc

    def close(self) -> None:
        """Nothing is open between two exports."""

    def _append(self, line: bytes) -> None:
        """Append everything or nothing, even if others append or the disk is full."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = os.fstat(file)
            try:
                _write(file, line)
            except OSError:
                os.ftruncate(file, before.st_size)
                raise
            # Another process may have rotated it while this one waited for the lock.
            if before.st_size + len(line) > self._largest_bytes and self._is_still(before):
                self._path.replace(f"{self._path}.1")
        finally:
            os.close(file)

    def _is_still(self, file: os.stat_result) -> bool:
        try:
            return os.path.samestat(file, self._path.stat())
        except FileNotFoundError:
            return False


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def _document_of(span: RecordedSpan) -> dict[str, Any]:
    """By the rules of OTLP: ids in hexadecimal, times as text, enumerations as numbers."""
    attributes = {**span.shape.attributes, **span.attributes}
    if span.error_type:
        attributes[Attribute.ERROR_TYPE] = span.error_type
    document: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "flags": span.otlp_flags,
        "name": span.shape.name,
        "kind": _KINDS[span.shape.kind.name],
        "startTimeUnixNano": str(span.began_ns),
        "endTimeUnixNano": str(span.ended_ns),
        "attributes": _attributes(attributes),
    }
    if span.parent_id:
        document["parentSpanId"] = span.parent_id
    if span.tracestate is not None:
        document["traceState"] = span.tracestate
    if span.links:
        document["links"] = [_link(link) for link in span.links]
    if span.error_type:
        document["status"] = {"code": _ERROR, "message": well_formed(span.description)}
    return document


def _link(link: Link) -> dict[str, Any]:
    document = {
        "traceId": link.context.trace_id,
        "spanId": link.context.span_id,
        "flags": link.otlp_flags,
        "attributes": _attributes({Attribute.LINK: link.relation}),
    }
    if link.context.tracestate is not None:
        document["traceState"] = link.context.tracestate
    return document


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": well_formed(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value if isfinite(value) else _NOT_FINITE.get(value, "NaN")}
