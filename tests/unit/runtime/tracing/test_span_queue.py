"""Tests for ringback.runtime.tracing.span_queue."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from ringback.runtime.tracing.span import RecordedSpan
from ringback.runtime.tracing.span_queue import ExportError, SpanQueue
from tests.unit.runtime.tracing.traced_spans import ended

_AT_LATEST_S = 10.0


class ScriptedExporter:
    """Keeps its input, or raises as configured; `open` lets exports continue."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.began = threading.Event()
        self.is_closed = False
        if is_open:
            self.open.set()

    def export(self, spans: Sequence[RecordedSpan]) -> None:
        self.began.set()
        assert self.open.wait(_AT_LATEST_S)
        if self.error is not None:
            raise self.error
        self.batches.append(len(spans))

    def close(self) -> None:
        self.is_closed = True


@contextmanager
def queue_of(
    exporter: ScriptedExporter, *, most: int = 100, batch: int = 10
) -> Generator[SpanQueue, None, None]:
    queue = SpanQueue(exporter, most=most, batch=batch, delay_s=0.01)
    try:
        yield queue
    finally:
        exporter.open.set()
        queue.close(within_s=_AT_LATEST_S)


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    """The log lines of a test."""
    with capture_logs() as captured:
        yield captured


def put(queue: SpanQueue, count: int) -> None:
    for _ in range(count):
        queue.put(ended())


def until_failed(queue: SpanQueue, count: int) -> None:
    until(lambda: queue._failed == count)


def until_logged(lines: list[EventDict], count: int) -> None:
    until(lambda: len(lines) == count)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _AT_LATEST_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_leaving_exports_what_waits(lines: list[EventDict]) -> None:
    """Nothing is lost, batches are no larger than asked, and nothing is logged."""
    exporter = ScriptedExporter()

    with queue_of(exporter) as queue:
        put(queue, 35)

    assert sum(exporter.batches) == 35
    assert max(exporter.batches) <= 10
    assert exporter.is_closed
    assert lines == []


def test_a_queue_that_is_full_takes_no_more(lines: list[EventDict]) -> None:
    """`put` never waits; dropped spans are counted at the end."""
    exporter = ScriptedExporter(is_open=False)

    with queue_of(exporter) as queue:
        put(queue, 1)
        assert exporter.began.wait(_AT_LATEST_S)
        began = time.monotonic()
        put(queue, 1_000)
        took_s = time.monotonic() - began

    assert took_s < 1
    assert sum(exporter.batches) == 101
    assert sum(line.get("count", 0) for line in lines) == 900


def test_an_outage_is_a_line_at_each_end(lines: list[EventDict]) -> None:
    """However many batches it costs; the second line counts the spans."""
    exporter = ScriptedExporter()
    exporter.error = ExportError("The collector is away.")

    with queue_of(exporter) as queue:
        put(queue, 50)
        until(lambda: queue._failed == 50)
        exporter.error = None
        put(queue, 1)
        until(lambda: len(lines) == 2)

    assert lines == [
        {
            "event": "spans.not_exported",
            "reason": "The collector is away.",
            "log_level": "warning",
        },
        {"event": "spans.export_recovered", "count": 50, "log_level": "info"},
    ]


def test_each_outage_counts_its_own(lines: list[EventDict]) -> None:
    """The second does not count again what the first cost."""
    exporter = ScriptedExporter()

    with queue_of(exporter) as queue:
        for so_far in (1, 3):
            exporter.error = ExportError("away")
            put(queue, 3)
            until_failed(queue, 3 * (so_far + 1) // 2)
            exporter.error = None
            put(queue, 1)
            until_logged(lines, so_far + 1)

    assert [line.get("count") for line in lines] == [None, 3, None, 3]


def test_a_bug_of_an_exporter_ends_nothing(lines: list[EventDict]) -> None:
    """What nobody foresaw costs its batch, and the next one is exported."""
    exporter = ScriptedExporter()
    exporter.error = TypeError("str is not valid UTF-8")

    with queue_of(exporter) as queue:
        put(queue, 1)
        until(lambda: lines)
        exporter.error = None
        put(queue, 1)
        until(lambda: exporter.batches)

    assert lines[0]["reason"] == "TypeError: str is not valid UTF-8"
    assert [line["event"] for line in lines] == ["spans.not_exported", "spans.export_recovered"]


def test_leaving_waits_no_longer_than_it_may(lines: list[EventDict]) -> None:
    """An export that hangs is broken off; what it held and what waited is counted."""
    exporter = ScriptedExporter(is_open=False)
    queue = SpanQueue(exporter, most=100, batch=10, delay_s=0.01)
    put(queue, 5)
    assert exporter.began.wait(_AT_LATEST_S)
    put(queue, 20)

    began = time.monotonic()
    queue.close(within_s=0.2)
    took_s = time.monotonic() - began
    exporter.open.set()
    queue._thread.join(_AT_LATEST_S)

    assert took_s < 2
    assert exporter.is_closed
    assert lines == [{"event": "spans.lost", "count": 25, "log_level": "warning"}]


def test_more_spans_than_can_be_exported_are_said_once(lines: list[EventDict]) -> None:
    """An exporter that is merely slow is an outage too, which ends when it keeps up."""
    exporter = ScriptedExporter(is_open=False)

    with queue_of(exporter, most=20) as queue:
        put(queue, 1)
        assert exporter.began.wait(_AT_LATEST_S)
        put(queue, 30)
        exporter.open.set()
        until(lambda: len(lines) == 2)

    assert [(line["event"], line.get("count")) for line in lines] == [
        ("spans.not_exported", None),
        ("spans.export_recovered", 10),
    ]
