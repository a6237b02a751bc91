"""Tests for ringback.runtime.tracing.trace_settings."""

from pathlib import Path

import pytest

from ringback.runtime.tracing.trace_settings import tracing_asked_for

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}


@pytest.mark.parametrize(
    ("environ", "by_otlp"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": " "}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"}, True),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none,zipkin"}, False),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, False),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, False),
        (
            {
                **ENDPOINT,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            True,
        ),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "no"}, True),
    ],
)
def test_spans_go_out_where_it_is_asked_for(environ: dict[str, str], *, by_otlp: bool) -> None:
    """By the standard's variables; those of traces alone go before those of all signals."""
    assert tracing_asked_for(environ).by_otlp is by_otlp


def test_a_file_is_asked_for_by_ours() -> None:
    """The standard has no variable for it, and its switch goes before."""
    environ = {"RINGBACK_TRACE_FILE": "/somewhere/traces.jsonl"}

    assert tracing_asked_for(environ).file == Path("/somewhere/traces.jsonl")
    assert tracing_asked_for({**environ, "OTEL_SDK_DISABLED": "true"}).file is None
