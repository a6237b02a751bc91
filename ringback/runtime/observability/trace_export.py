"""Tracing for the lifetime of a process: its exporters, and the count of lost spans."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Counter

import ringback
from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.observability.instruments import Instruments
from ringback.runtime.observability.otel_variables import drop_unusable, dropped
from ringback.runtime.observability.trace_file import TraceFileExporter
from ringback.runtime.observability.trace_sampler import CappedSampler
from ringback.runtime.observability.tracing import NO_TRACES, Tracer
from ringback.runtime.process.settings import TraceSettings, load

_NAMESPACE = "ringback"
_FLUSH_WITHIN_S = 3.0
_QUEUE_SIZE = 10_000
_BATCH_SIZE = 64
"""Encoding a batch of this size delays the event loop by 1 ms."""

_DELAY_MS = 1_000
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_QUEUE_FULL = "More spans end than can be exported."

log = structlog.get_logger()


@asynccontextmanager
async def tracing(
    service: str, registry: CollectorRegistry, *, is_global: bool = False
) -> AsyncGenerator[Tracer, None]:
    """A tracer configured by OTEL_ variables and TraceSettings. `is_global` is for handlers' spans.

    Raises SettingsError for unusable RINGBACK_ settings; unusable OTEL_ variables are ignored and
    logged. On exit it exports queued spans, for three seconds at most. If the collector is
    unavailable, only spans are lost.
    """
    drop_unusable()
    for variable, reason in dropped.items():
        log.warning(LogEvent.VARIABLE_IGNORED, variable=variable, reason=reason)
    _quiet_the_libraries()
    settings = load(TraceSettings)
    lost = Instruments(registry).counter(Metric.SPANS_LOST)
    queues = [SpanQueue(exporter, lost) for exporter in _exporters(settings)]
    if not queues:
        yield NO_TRACES
        return
    provider = TracerProvider(
        # With the standard variable, the SDK creates the sampler.
        None if "OTEL_TRACES_SAMPLER" in os.environ else CappedSampler(settings.traces_per_second),
        resource_of(service),
        shutdown_on_exit=False,
    )
    for queue in queues:
        provider.add_span_processor(queue)
    if is_global and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    try:
        yield Tracer(provider)
    finally:
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(asyncio.to_thread(queue.close, within_s=_FLUSH_WITHIN_S))


def _quiet_the_libraries() -> None:
    # A sender may send any tracestate, and the library logs each that is invalid.
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
    exporters = logging.getLogger("opentelemetry.exporter")
    exporters.handlers, exporters.propagate = [_LAST_MESSAGE], False
    # This filter suppresses repeated messages; _CountedExporter decides what to log.
    logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").filters.clear()


def resource_of(service: str) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME in the environment override ours."""
    ours = Resource(
        {
            "service.namespace": _NAMESPACE,
            SERVICE_NAME: f"{_NAMESPACE}-{service}",
            "service.version": ringback.__version__,
        }
    )
    given = Resource.create()
    if str(given.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return given.merge(ours)
    return ours.merge(given)


def otlp_protocol(environ: Mapping[str, str]) -> str | None:
    """The protocol by which spans are sent; None if they are not. Expects usable variables.

    Without OTEL_TRACES_EXPORTER, spans are sent if an endpoint is set.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").lower()
    if exporter == "none" or not (exporter or any(environ.get(name) for name in _ENDPOINTS)):
        return None
    return next((text for name in _PROTOCOLS if (text := environ.get(name))), "grpc")


def _exporters(settings: TraceSettings) -> Iterator[SpanExporter]:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    protocol = otlp_protocol(os.environ)
    if protocol is not None:
        try:
            yield _otlp_exporter(protocol)
        except Exception as exc:  # ruff: ignore[blind-except]  # a library's; telemetry stops nothing
            log.warning(
                LogEvent.VARIABLE_IGNORED,
                variable="OTEL_EXPORTER_OTLP_…",
                reason=f"{type(exc).__name__}; no span is sent by OTLP",
            )
    if settings.trace_file is not None:
        yield TraceFileExporter(settings.trace_file)


def _otlp_exporter(protocol: str) -> SpanExporter:
    """Import only what is used: gRPC takes 20 MB."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # ruff: ignore[import-outside-top-level]
            OTLPSpanExporter as ByGrpc,
        )

        return ByGrpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # ruff: ignore[import-outside-top-level]
        OTLPSpanExporter as ByHttp,
    )

    return ByHttp()


class SpanQueue(BatchSpanProcessor):
    """Drops and counts the newest spans when it is full. Closes in time."""

    def __init__(self, exporter: SpanExporter, lost: Counter) -> None:
        self._max_size = _number("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE_SIZE)
        self._counted = _CountedExporter(exporter, lost)
        super().__init__(
            self._counted,
            max_queue_size=self._max_size,
            schedule_delay_millis=_number("OTEL_BSP_SCHEDULE_DELAY", _DELAY_MS),
            max_export_batch_size=min(
                self._max_size, _number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _BATCH_SIZE)
            ),
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Never waits and never raises."""
        if self._counted.has_room(self._max_size):
            super().on_end(span)

    def close(self, *, within_s: float) -> None:
        """Export what is queued, within a deadline; the rest is lost. Blocks."""
        # The SDK would wait for 30 s. Python waits for threads at exit, except daemons.
        closing = threading.Thread(target=self.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(within_s)
        self._counted.abandon()


def _number(variable: str, default: int) -> int:
    return int(os.environ.get(variable, default))


class _CountedExporter(SpanExporter):
    """Counts waiting and lost spans. An outage is one log line at its beginning and its end."""

    def __init__(self, exporter: SpanExporter, lost: Counter) -> None:
        self._exporter = exporter
        self._lost = lost
        self._lock = threading.Lock()
        self._waiting = 0
        self._exporting = 0
        self._dropped = 0
        self._dropped_before = 0
        self._failed = 0
        self._reported = 0
        self._is_unavailable = False
        self._is_closed = False

    def has_room(self, max_waiting: int) -> bool:
        """Count a span that waits; false if too many do, and it is lost."""
        with self._lock:
            if self._waiting < max_waiting:
                self._waiting += 1
                return True
            self._dropped += 1
        self._lost.labels("queue_full").inc()
        return False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            if self._is_closed:
                return SpanExportResult.FAILURE
            self._waiting -= len(spans)
            self._exporting = len(spans)
        reason = self._export(spans)
        with self._lock:
            if self._is_closed:
                return SpanExportResult.FAILURE
            self._exporting = 0
            if reason is not None:
                self._failed += len(spans)
                self._lost.labels("export_failed").inc(len(spans))
        self._report(reason)
        return SpanExportResult.SUCCESS if reason is None else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing: `abandon` closes the exporter."""

    def abandon(self) -> None:
        """Abort an export that another thread waits for. What was not exported is lost."""
        with self._lock:
            self._is_closed = True
            rest = self._waiting + self._exporting
        self._exporter.shutdown()
        if rest:
            self._lost.labels("shutdown").inc(rest)
        lost = self._dropped + self._failed + rest - self._reported
        if lost:
            log.warning(LogEvent.SPANS_LOST, count=lost)

    def _export(self, spans: Sequence[ReadableSpan]) -> str | None:
        """The reason of the failure; None on success."""
        try:
            result = self._exporter.export(spans)
        except OSError as exc:
            return exc.strerror or str(exc)
        except Exception as exc:  # ruff: ignore[blind-except]  # a library's; only spans are lost
            return f"{type(exc).__name__}: {exc}"
        return None if result is SpanExportResult.SUCCESS else _LAST_MESSAGE.text

    def _report(self, reason: str | None) -> None:
        dropped = self._dropped
        if reason is None and dropped > self._dropped_before:
            reason = _QUEUE_FULL
        self._dropped_before = dropped
        if reason is not None and not self._is_unavailable:
            self._is_unavailable = True
            log.warning(LogEvent.SPANS_NOT_EXPORTED, reason=reason)
        elif reason is None and self._is_unavailable:
            self._is_unavailable = False
            lost = dropped + self._failed
            log.info(LogEvent.SPANS_EXPORT_RECOVERED, count=lost - self._reported)
            self._reported = lost


class _LastMessage(logging.Handler):
    """Keeps the exporters' last log message, which they would otherwise repeat for each batch."""

    text = "The exporter gives no reason."

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_LAST_MESSAGE = _LastMessage()
