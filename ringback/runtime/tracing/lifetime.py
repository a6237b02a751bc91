"""Tracing for the lifetime of a process."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.observability.otel_variables import drop_unusable, dropped
from ringback.runtime.tracing.file_exporter import FileExporter
from ringback.runtime.tracing.resource import resource_of
from ringback.runtime.tracing.span import RecordedSpan
from ringback.runtime.tracing.span_queue import Exporter, SpanQueue
from ringback.runtime.tracing.trace_settings import Tracing, tracing_asked_for
from ringback.runtime.tracing.tracer import Tracer

_FLUSH_WITHIN_S = 3.0

log = structlog.get_logger()


@asynccontextmanager
async def tracing(service: str) -> AsyncGenerator[Tracer, None]:
    """A tracer configured by the OTEL_ variables and RINGBACK_TRACE_FILE.

    Raises SettingsError for an unusable RINGBACK_TRACE_FILE; unusable OTEL_ variables are ignored
    and logged. On exit it exports queued spans, for three seconds at most. If the collector is
    unavailable, only spans are lost.
    """
    drop_unusable()
    for variable, reason in dropped.items():
        log.warning(LogEvent.VARIABLE_IGNORED, variable=variable, reason=reason)
    asked = tracing_asked_for(os.environ)
    queues = [SpanQueue(exporter) for exporter in _exporters(service, asked)]
    try:
        yield Tracer(asked.sampler, _keep_in(queues))
    finally:
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(asyncio.to_thread(queue.close, within_s=_FLUSH_WITHIN_S))


def _exporters(service: str, asked: Tracing) -> list[Exporter]:
    if not asked.by_otlp and asked.file is None:
        return []
    resource = resource_of(service)
    exporters: list[Exporter] = []
    if asked.by_otlp:
        # It imports gRPC and protobuf: 20 MB that a process without a collector does not need.
        from ringback.runtime.tracing.otlp_exporter import OtlpExporter  # ruff: ignore[import-outside-top-level]

        try:
            exporters.append(OtlpExporter(resource))
        except Exception as exc:  # ruff: ignore[blind-except]  # a library's; telemetry stops nothing
            log.warning(
                LogEvent.VARIABLE_IGNORED,
                variable="OTEL_EXPORTER_OTLP_…",
                reason=f"{type(exc).__name__}; no span is sent by OTLP",
            )
    if asked.file is not None:
        exporters.append(FileExporter(asked.file, resource))
    return exporters


def _keep_in(queues: list[SpanQueue]) -> Callable[[RecordedSpan], None] | None:
    match queues:
        case []:
            return None
        case [queue]:
            return queue.put
        case _:

            def keep_in_each(span: RecordedSpan) -> None:
                for queue in queues:
                    queue.put(span)

            return keep_in_each
