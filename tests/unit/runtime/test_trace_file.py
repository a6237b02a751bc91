"""Spans in a file, by several processes."""

import json
import os
import resource
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from ringback.cli.trace.spans import read_spans
from ringback.contract.trace_context import TraceContext
from ringback.runtime.observability.trace_file import TraceFileExporter
from ringback.runtime.observability.tracing import Link, Shape, ending, fail
from tests.support.kept_spans import KeptSpans
from tests.support.trace_file import spans_in

SHAPE = Shape("publish webhooks", SpanKind.PRODUCER, {"messaging.system": "rabbitmq"})
SENT = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")


def ended(**attributes: object) -> list[ReadableSpan]:
    kept = KeptSpans()
    with ending(kept.tracer.start(SHAPE, parent=SENT, links=[Link(SENT, "origin")])) as span:
        span.set_attributes(attributes)  # type: ignore[arg-type]  # any, as a handler may set
        fail(span, "late", "It was late.")
    return [*kept.all]


def test_a_line_is_a_document_of_otlp(tmp_path: Path) -> None:
    """Ids are hexadecimal, enumerations are numbers, and 64-bit numbers are text."""
    path = tmp_path / "traces.jsonl"
    [span] = spans = ended(number=2**53, text="\u00e4", is_so=True, part=0.5)

    TraceFileExporter(path).export(spans)

    [line, rest] = path.read_text(encoding="utf-8").split("\n")
    assert not rest
    [scope] = json.loads(line)["resourceSpans"][0]["scopeSpans"]
    assert scope["schemaUrl"] == "https://opentelemetry.io/schemas/1.44.0"
    [sent] = scope["spans"]
    assert (sent["traceId"], sent["parentSpanId"]) == (SENT.trace_id, SENT.span_id)
    assert sent["spanId"] == f"{span.context.span_id:016x}"
    assert (sent["kind"], sent["status"]) == (4, {"code": 2, "message": "It was late."})
    assert sent["startTimeUnixNano"] == str(span.start_time)
    assert sent["traceState"] == "vendor=1"
    [link] = sent["links"]
    assert (link["traceId"], link["spanId"]) == (SENT.trace_id, SENT.span_id)
    values = {one["key"]: one["value"] for one in sent["attributes"]}
    assert values["number"] == {"intValue": str(2**53)}
    assert values["is_so"] == {"boolValue": True}
    assert values["part"] == {"doubleValue": 0.5}


def test_a_handlers_own_attributes_are_read(tmp_path: Path) -> None:
    """They may be lists, objects, bytes or nothing; the command shows the rest of the trace."""
    path = tmp_path / "traces.jsonl"
    strange = {"list": ["a", 1], "object": {"b": None}, "bytes": b"\xff", "none": None}

    TraceFileExporter(path).export(ended(**strange, **{"ringback.job_id": "x"}))

    [span] = read_spans(path)
    assert span.attributes["ringback.job_id"] == "x"
    assert set(strange) <= set(span.attributes)


def test_text_that_is_not_unicode_costs_one_character(tmp_path: Path) -> None:
    """A handler may set it; the span and its batch are written."""
    path = tmp_path / "traces.jsonl"

    TraceFileExporter(path).export([*ended(a="\ud800", b="x"), *ended()])

    first, _ = spans_in(path)
    assert (first.attributes["a"], first.attributes["b"]) == ("?", "x")


def test_a_full_file_is_renamed(tmp_path: Path) -> None:
    """An earlier renamed file is replaced; the newest spans are in one of the two files."""
    path = tmp_path / "traces.jsonl"
    exporter = TraceFileExporter(path, largest_bytes=3_000)

    for number in range(20):
        exporter.export(ended(number=number))

    renamed = tmp_path / "traces.jsonl.1"
    numbers = [int(span.attributes["number"]) for one in (renamed, path) for span in spans_in(one)]
    assert sorted(numbers) == [*range(numbers[0], 20)]
    assert numbers[0] > 0
    assert {one.name for one in tmp_path.iterdir()} <= {"traces.jsonl", "traces.jsonl.1"}


def test_two_processes_that_rename_at_once_lose_no_file(tmp_path: Path) -> None:
    """An exporter that loses the race does not rename the new file over the full one."""
    path = tmp_path / "traces.jsonl"
    spans = ended()
    TraceFileExporter(path).export(spans)
    line_bytes = path.stat().st_size
    path.unlink()

    def write() -> None:
        exporter = TraceFileExporter(path, largest_bytes=70 * line_bytes)
        for _ in range(30):
            exporter.export(spans)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len([*spans_in(path.with_name("traces.jsonl.1")), *spans_in(path)]) == 120


def test_a_full_disk_leaves_no_incomplete_line(tmp_path: Path) -> None:
    """What does not fit is dropped entirely and reported; what fits later is complete."""
    path = tmp_path / "traces.jsonl"
    exporter = TraceFileExporter(path)
    spans = ended()
    exporter.export(spans)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            exporter.export(spans)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    exporter.export(spans)

    assert path.stat().st_size == 2 * size
    assert len(spans_in(path)) == 2


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """The queue counts and reports the loss."""
    with pytest.raises(FileNotFoundError, match=os.strerror(2)):
        TraceFileExporter(tmp_path / "away" / "traces.jsonl").export(ended())
