"""Takes ended spans off the hands of the event loop, and exports them from a thread."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from ringback.runtime.tracing.span import RecordedSpan

log = structlog.get_logger()


class ExportError(Exception):
    """The spans of a batch are lost; the text says why in a few words."""


class Exporter(Protocol):
    def export(self, spans: Sequence[RecordedSpan]) -> None:
        """Bring the spans to where they are kept. Raises ExportError."""

    def close(self) -> None:
        """Break off an export that another thread waits for, and let go of everything."""


class SpanQueue:
    """Holds `most` spans at most; those that find no room are dropped and counted.

    An outage of the exporter costs nothing but its spans, and one log line at each end of it.
    """

    def __init__(
        self, exporter: Exporter, *, most: int = 10_000, batch: int = 512, delay_s: float = 1.0
    ) -> None:
        self._exporter = exporter
        self._most = most
        self._batch = batch
        self._delay_s = delay_s
        self._waiting: deque[RecordedSpan] = deque()
        self._lost = 0
        self._is_away = False
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: RecordedSpan) -> None:
        """Never waits and never raises."""
        count = len(self._waiting)
        if count >= self._most:
            self._lost += 1
            return
        self._waiting.append(span)
        if count == self._batch:
            self._wake.set()

    def close(self, *, within_s: float) -> None:
        """Export what waits, within a deadline; what is left then is lost. Blocks."""
        self._closing = True
        self._wake.set()
        self._thread.join(within_s)
        is_late = self._thread.is_alive()
        self._exporter.close()
        lost = self._lost + len(self._waiting)
        if is_late or lost:
            log.warning("spans.lost", count=lost)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            self._export_all()
        self._export_all()

    def _export_all(self) -> None:
        """Export what waited when this began; what comes meanwhile is for the next time."""
        for _ in range(-(-len(self._waiting) // self._batch)):
            count = min(self._batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                self._exporter.export(batch)
            except ExportError as exc:
                self._failed(len(batch), str(exc))
            else:
                self._succeeded()

    def _failed(self, count: int, reason: str) -> None:
        self._lost += count
        if not self._is_away:
            self._is_away = True
            log.warning("spans.not_exported", reason=reason)

    def _succeeded(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("spans.exported_again", lost=self._lost)
            self._lost = 0
