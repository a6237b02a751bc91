"""Exports to a collector by OTLP over gRPC."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace.export import SpanExportResult

from ringback.runtime.tracing.otlp_request import request_of
from ringback.runtime.tracing.shape import Value
from ringback.runtime.tracing.span import RecordedSpan
from ringback.runtime.tracing.span_queue import ExportError

_THEIR_LOG = "opentelemetry.exporter.otlp.proto.grpc"


class OtlpExporter:
    """Configured by all OTEL_EXPORTER_OTLP_ variables of the process."""

    def __init__(self, resource: Mapping[str, Value]) -> None:
        self._resource = resource
        self._said = _LastSaid.instead_of_log()
        self._exporter = _RequestExporter()

    def export(self, spans: Sequence[RecordedSpan]) -> None:
        try:
            request = request_of(spans, self._resource)
            result = self._exporter.export_request(request)
        except Exception as exc:
            raise ExportError(f"{type(exc).__name__}: {exc}") from exc
        if result is not SpanExportResult.SUCCESS:
            raise ExportError(self._said.text)

    def close(self) -> None:
        self._exporter.shutdown(timeout_millis=0)


class _RequestExporter(OTLPSpanExporter):
    """The SDK's exporter with its retries, credentials and time limit, for encoded requests."""

    def __init__(self) -> None:
        super().__init__()
        if self._channel is not None:
            self._channel.close()
        self._stub = _EncodedStub
        self._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # theirs

    def export_request(self, request: bytes) -> SpanExportResult:
        return self._export(request)  # type: ignore[arg-type]  # what _translate_data takes here

    def _translate_data(self, data: Any) -> Any:
        return data

    def _count_data(self, _: Any) -> int:
        return 1


class _EncodedStub:
    """The collector's one call, for a request that is already encoded."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.Export: Callable[..., Any] = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            response_deserializer=ExportTraceServiceResponse.FromString,
        )


class _LastSaid(logging.Handler):
    """Keeps the exporter's last log message, which it would otherwise repeat for each batch."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()

    @classmethod
    def instead_of_log(cls) -> "_LastSaid":
        said = cls()
        logger = logging.getLogger(_THEIR_LOG)
        logger.handlers, logger.propagate = [said], False
        # It suppresses messages repeated within a minute; here the queue decides that.
        logging.getLogger(f"{_THEIR_LOG}.exporter").filters.clear()
        return said
