"""Tests for ringback.runtime.tracing.file_exporter."""

import base64
import json
import os
import resource
import threading
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind

from ringback.runtime.tracing.file_exporter import FileExporter
from ringback.runtime.tracing.otlp_request import request_of
from ringback.runtime.tracing.shape import Shape, Value
from ringback.runtime.tracing.span import Link
from ringback.runtime.tracing.span_queue import ExportError
from tests.support.trace_file import spans_in
from tests.unit.runtime.tracing.traced_spans import ATTRIBUTES, SAMPLED, SHAPE, UNSAMPLED, ended

RESOURCE: dict[str, Value] = {"service.name": "ringback-tests"}


@given(shared=ATTRIBUTES, own=ATTRIBUTES)
def test_a_line_says_what_the_request_says(
    tmp_path_factory: pytest.TempPathFactory, shared: dict[str, Value], own: dict[str, Value]
) -> None:
    """The two exporters write the same span; only ids are encoded differently."""
    path = tmp_path_factory.mktemp("file") / "traces.jsonl"
    span = ended(
        Shape("a", SpanKind.SERVER, shared),
        own,
        parent=SAMPLED,
        links=(Link(SAMPLED, "origin"), Link(UNSAMPLED, "previous_attempt")),
        error_type="late",
        description="It was late.",
    )

    FileExporter(path, RESOURCE).export([span])

    [line, rest] = path.read_text(encoding="utf-8").split("\n")
    assert not rest
    assert as_request(line) == ordered(
        ExportTraceServiceRequest.FromString(request_of([span], RESOURCE))
    )


def test_what_is_no_unicode_costs_no_span(tmp_path: Path) -> None:
    """A lone surrogate becomes `?`; JSON in UTF-8 has no place for it."""
    path = tmp_path / "traces.jsonl"

    FileExporter(path, RESOURCE).export([ended(SHAPE, {"a": "\ud800"}, error_type="x\ud800")])

    [span] = spans_in(path)
    assert (span.attributes["a"], span.attributes["error.type"]) == ("?", "x?")


def test_a_full_file_is_put_aside(tmp_path: Path) -> None:
    """The one before goes; the newest spans are in one of two files."""
    path = tmp_path / "traces.jsonl"
    exporter = FileExporter(path, RESOURCE, largest_bytes=2_000)

    for number in range(20):
        exporter.export([ended(SHAPE, {"number": number})])

    aside = tmp_path / "traces.jsonl.1"
    numbers = [int(span.attributes["number"]) for one in (aside, path) for span in spans_in(one)]
    assert sorted(numbers) == [*range(numbers[0], 20)]
    assert path.stat().st_size <= 2_000 if path.exists() else True
    assert {one.name for one in tmp_path.iterdir()} <= {"traces.jsonl", "traces.jsonl.1"}


def test_two_that_put_aside_at_once_keep_what_one_would(tmp_path: Path) -> None:
    """An exporter that loses the race does not rename the new file over the full one."""
    path = tmp_path / "traces.jsonl"
    FileExporter(path, RESOURCE).export([ended()])
    line_bytes = path.stat().st_size
    path.unlink()

    found = spans_written(path, threads=4, exports=30, largest_bytes=70 * line_bytes)

    assert len(found) == 120


def test_a_disk_that_is_full_tears_no_line(tmp_path: Path) -> None:
    """What does not fit is dropped entirely and reported; what fits later is complete."""
    path = tmp_path / "traces.jsonl"
    exporter = FileExporter(path, RESOURCE)
    exporter.export([ended()])
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(ExportError, match="File too large"):
            exporter.export([ended()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    exporter.export([ended()])

    assert path.stat().st_size == 2 * size
    assert len(spans_in(path)) == 2


def test_a_folder_that_is_away_is_an_export_error(tmp_path: Path) -> None:
    """The queue's outage begins, and nothing else."""
    exporter = FileExporter(tmp_path / "away" / "traces.jsonl", RESOURCE)

    with pytest.raises(ExportError, match=os.strerror(2)):
        exporter.export([ended()])


def spans_written(path: Path, *, threads: int, exports: int, largest_bytes: int) -> list[object]:
    """All that is found after threads wrote at once, each with an exporter of its own."""

    def write() -> None:
        exporter = FileExporter(path, RESOURCE, largest_bytes=largest_bytes)
        for _ in range(exports):
            exporter.export([ended()])

    writers = [threading.Thread(target=write) for _ in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return [*spans_in(path.with_name("traces.jsonl.1")), *spans_in(path)]


def as_request(line: str) -> object:
    document = json.loads(line)
    [span] = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for one in (span, *span["links"]):
        for name in {"traceId", "spanId", "parentSpanId"} & set(one):
            # protobuf's own JSON has bytes in base64, OTLP's has these in hexadecimal.
            one[name] = _base64(one[name])
    return ordered(ParseDict(document, ExportTraceServiceRequest()))


def ordered(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """Attributes by their keys, because their order has no meaning."""
    span = request.resource_spans[0].scope_spans[0].spans[0]
    attributes = sorted(span.attributes, key=lambda one: one.key)
    del span.attributes[:]
    span.attributes.extend(attributes)
    return request


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
