"""Takes ended spans from the event loop, and exports them in a thread."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.tracing.span import RecordedSpan

log = structlog.get_logger()

_TOO_MANY = "More spans end than can be exported."


class ExportError(Exception):
    """The spans of a batch are lost; the text gives the reason in a few words."""


class Exporter(Protocol):
    def export(self, spans: Sequence[RecordedSpan]) -> None:
        """Export the spans. Raises ExportError."""

    def close(self) -> None:
        """Abort an export that another thread waits for, and release everything."""


class SpanQueue:
    """Queues up to `most` spans; further spans are dropped and counted.

    An outage of the exporter costs only its spans, and one log line at its beginning and its end.
    """

    def __init__(
        self, exporter: Exporter, *, most: int = 10_000, batch: int = 512, delay_s: float = 1.0
    ) -> None:
        self._exporter = exporter
        self._most = most
        self._batch = batch
        self._delay_s = delay_s
        self._waiting: deque[RecordedSpan] = deque()
        # Each of these is written by only one thread; the first by the thread of `put`.
        self._dropped = 0
        self._dropped_before = 0
        self._failed = 0
        self._in_flight = 0
        self._told = 0
        self._is_unavailable = False
        self._closing = False
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: RecordedSpan) -> None:
        """Never waits and never raises. Only for the event loop's thread."""
        count = len(self._waiting)
        if count >= self._most:
            self._dropped += 1
            return
        self._waiting.append(span)
        if count == self._batch:
            self._wake.set()

    def close(self, *, within_s: float) -> None:
        """Export what is queued, within a deadline; the rest is lost. Blocks."""
        self._closing = True
        self._wake.set()
        self._thread.join(within_s)
        self._closed = True
        lost = self._dropped + self._failed + self._in_flight + len(self._waiting) - self._told
        self._exporter.close()
        if lost:
            log.warning(LogEvent.SPANS_LOST, count=lost)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            self._export_all()
        self._export_all()

    def _export_all(self) -> None:
        """Export what was queued when this began; later spans wait for the next run."""
        for _ in range(-(-len(self._waiting) // self._batch)):
            if self._closed:
                return
            self._in_flight = min(self._batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(self._in_flight)]
            reason = self._export(batch)
            if self._closed:
                return
            if reason is not None:
                self._failed += len(batch)
            self._in_flight = 0
            self._tell(reason)

    def _export(self, batch: list[RecordedSpan]) -> str | None:
        """The reason of the failure; None on success."""
        try:
            self._exporter.export(batch)
        except ExportError as exc:
            return str(exc)
        except Exception as exc:  # ruff: ignore[blind-except]  # no bug may end the thread
            return f"{type(exc).__name__}: {exc}"
        return None

    def _tell(self, reason: str | None) -> None:
        dropped = self._dropped
        if reason is None and dropped > self._dropped_before:
            reason = _TOO_MANY
        self._dropped_before = dropped
        if reason is not None and not self._is_unavailable:
            self._is_unavailable = True
            log.warning(LogEvent.SPANS_NOT_EXPORTED, reason=reason)
        elif reason is None and self._is_unavailable:
            self._is_unavailable = False
            lost = dropped + self._failed
            log.info(LogEvent.SPANS_EXPORT_RECOVERED, count=lost - self._told)
            self._told = lost
