"""Spans on their way to a collector that is there, away, hanging or refusing."""

import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # our own services
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from structlog.typing import EventDict

import ringback
from ringback.contract.trace_context import TraceContext
from ringback.local.ports import free_ports
from ringback.runtime.observability import otel_variables
from ringback.runtime.observability.trace_export import otlp_protocol, resource_of, tracing
from ringback.runtime.observability.tracing import Link, Shape, Tracer, ending, fail
from tests.support.collector import Collector, collecting, value_of
from tests.support.eventually import eventually
from tests.support.trace_file import spans_in

SHAPE = Shape("receive", SpanKind.SERVER, {"http.request.method": "POST"})
PART = Shape("publish", SpanKind.PRODUCER, {})
PARENT = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")
ORIGIN = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that answers, and that this process's variables name."""
    async with collecting(Collector()) as listening:
        listening.answers.set()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        yield listening


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    """The log lines of a test, in a process that has ignored nothing yet."""
    otel_variables.dropped.clear()
    with capture_logs() as captured:
        yield captured
    otel_variables.dropped.clear()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def one_span(tracer: Tracer) -> None:
    tracer.start(SHAPE).end()


def lost(registry: CollectorRegistry) -> dict[str, float]:
    """The number of lost spans by reason, without zeros."""
    return {
        sample.labels["reason"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "ringback_spans_lost_total" and sample.value
    }


async def test_spans_arrive_unchanged(
    registry: CollectorRegistry, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resource, kind, parent, flags, state, links, status and attributes, when the process ends."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "inbox")

    async with tracing("gateway", registry) as tracer:
        with ending(tracer.start(SHAPE, parent=PARENT, links=[Link(ORIGIN, "origin")])) as span:
            part = tracer.child(span, PART, {"messaging.message.body.size": 7})
            fail(part, "timeout", "No confirm in time.")
            part.end()

    child, parent = collector.spans
    resource = {
        one.key: one.value.string_value
        for one in collector.requests[0].resource_spans[0].resource.attributes
    }
    assert (resource["service.name"], resource["service.namespace"]) == ("inbox", "ringback")
    assert (parent.name, parent.kind) == ("receive", Span.SPAN_KIND_SERVER)
    assert (parent.trace_id.hex(), parent.parent_span_id.hex()) == (PARENT.trace_id, PARENT.span_id)
    assert (parent.flags, parent.trace_state) == (0x300, "vendor=1")
    assert parent.status.code == Status.STATUS_CODE_UNSET
    [link] = parent.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (ORIGIN.trace_id, ORIGIN.span_id)
    assert (child.kind, child.parent_span_id) == (Span.SPAN_KIND_PRODUCER, parent.span_id)
    assert child.flags == 0x100
    assert child.status == Status(code=Status.STATUS_CODE_ERROR, message="No confirm in time.")
    assert value_of(child, "error.type") == "timeout"
    assert value_of(child, "messaging.message.body.size") == 7
    [scope] = collector.requests[0].resource_spans[0].scope_spans
    assert (scope.scope.name, scope.schema_url) == (
        "ringback",
        "https://opentelemetry.io/schemas/1.44.0",
    )


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [("grpc", "none"), ("http/protobuf", "gzip")],
)
async def test_the_exporters_variables_are_heeded(
    registry: CollectorRegistry,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[EventDict],
    tmp_path: Path,
    protocol: str,
    compression: str,
) -> None:
    """Spans go by this protocol with these headers, and to a file as well."""
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(tmp_path / "traces.jsonl"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    if protocol != "grpc":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)

    [in_file], [collected] = spans_in(tmp_path / "traces.jsonl"), collector.spans
    assert in_file.ids == (collected.trace_id.hex(), collected.span_id.hex())
    assert collector.metadata[0]["x-tenant"] == "acme"
    assert not lines


@pytest.mark.slow
async def test_a_collector_that_goes_and_comes_back_is_two_lines(
    registry: CollectorRegistry, collector: Collector, lines: list[EventDict]
) -> None:
    """However many exports fail between them; what ends afterwards arrives."""
    async with tracing("gateway", registry) as tracer:
        # The exporter repeats no export that is refused with this status.
        collector.refusal = grpc.StatusCode.INTERNAL
        for _ in range(3):
            collector.asked.clear()
            one_span(tracer)
            await collector.asked.wait()
        await eventually(lambda: lines)
        collector.refusal = None
        one_span(tracer)
        await eventually(lambda: collector.spans)
        await eventually(lambda: len(lines) == 2)

    away, again = lines
    assert away["event"] == "spans.not_exported"
    assert "INTERNAL" in away["reason"]
    assert (again["event"], again["count"]) == ("spans.export_recovered", 3)
    assert lost(registry) == {"export_failed": 3}


async def test_a_collector_that_is_not_there_costs_its_spans_alone(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, lines: list[EventDict]
) -> None:
    """Without a collector, the work continues, the end does not wait for it, and spans count."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")

    async with tracing("gateway", registry) as tracer:
        for _ in range(10_100):
            one_span(tracer)

    assert [line["event"] for line in lines] == ["spans.lost"]
    assert lines[0]["count"] == sum(lost(registry).values()) == 10_100
    assert lost(registry).keys() == {"queue_full", "shutdown"}


@pytest.mark.slow
async def test_a_collector_that_hangs_holds_up_nothing(
    registry: CollectorRegistry,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[EventDict],
) -> None:
    """It takes spans and never answers: leaving breaks that off long before the export would."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    collector.answers.clear()

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)
        await collector.asked.wait()
        one_span(tracer)

    assert lines == [{"event": "spans.lost", "count": 2, "log_level": "warning"}]
    assert lost(registry) == {"shutdown": 2}


async def test_a_permanent_refusal_of_the_collector_is_logged_once(
    registry: CollectorRegistry, collector: Collector, lines: list[EventDict]
) -> None:
    """The log line contains its message."""
    collector.refusal = grpc.StatusCode.PERMISSION_DENIED

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)
        await eventually(lambda: lines)
        one_span(tracer)

    assert [line["event"] for line in lines] == ["spans.not_exported", "spans.lost"]
    assert "PERMISSION_DENIED" in lines[0]["reason"]
    assert lines[1]["count"] == 2


async def test_the_event_loop_does_not_wait_for_exports(
    registry: CollectorRegistry, collector: Collector
) -> None:
    """While a collector hangs, spans end. If one waited, nobody would let the collector answer."""
    collector.answers.clear()

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)
        assert not lost(registry)
        await collector.asked.wait()
        for _ in range(1_000):
            one_span(tracer)
        collector.answers.set()
        await eventually(lambda: len(collector.spans) == 1_001)

    assert not lost(registry)


UNUSABLE = {
    "OTEL_TRACES_SAMPLER": "sometimes",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "-1",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "brotli",
    "OTEL_EXPORTER_OTLP_HEADERS": "Bearer hush",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere",
    "OTEL_TRACES_EXPORTER": "zipkin",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_BSP_MAX_QUEUE_SIZE": "many",
    "OTEL_BSP_SCHEDULE_DELAY": "1s",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nobody",
}


async def test_what_is_not_usable_is_ignored_with_a_warning(
    registry: CollectorRegistry,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[EventDict],
) -> None:
    """Spans arrive without it, and the line does not show the value."""
    for variable, value in UNUSABLE.items():
        monkeypatch.setenv(variable, value)

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)

    assert len(collector.spans) == 1
    assert {line["event"] for line in lines} == {"variable.ignored"}
    assert sorted(line["variable"] for line in lines) == sorted(UNUSABLE)
    for line in lines:
        assert UNUSABLE[line["variable"]] not in str(line)


async def test_too_many_traces_are_sampled_unless_a_sampler_is_set(
    registry: CollectorRegistry, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours caps them at the setting; the standard's variable replaces it."""
    monkeypatch.setenv("RINGBACK_TRACES_PER_SECOND", "3")
    async with tracing("gateway", registry) as tracer:
        for _ in range(100):
            one_span(tracer)
    assert len(collector.spans) == 100

    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    async with tracing("gateway", CollectorRegistry()) as tracer:
        for _ in range(100):
            one_span(tracer)
    assert 103 <= len(collector.spans) < 200


async def test_a_trace_file_that_cannot_be_written_warns(
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[EventDict],
    tmp_path: Path,
) -> None:
    """It is a folder, or its folder does not exist. The work continues."""
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(tmp_path))

    async with tracing("gateway", registry) as tracer:
        one_span(tracer)
        await eventually(lambda: lines)

    assert lines[0]["event"] == "spans.not_exported"


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({}, None),
        (ENDPOINT, "grpc"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, "grpc"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "grpc"),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, None),
        (
            {
                **ENDPOINT,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            "grpc",
        ),
    ],
)
def test_the_protocol_follows_the_variables(environ: dict[str, str], protocol: str | None) -> None:
    """By the standard's variables; those for traces override those for all signals."""
    assert otlp_protocol(environ) == protocol


@pytest.mark.parametrize(
    "variables", [{}, {"RINGBACK_TRACE_FILE": "traces.jsonl", "OTEL_SDK_DISABLED": "true"}]
)
async def test_nothing_is_traced_by_default_or_with_the_standards_switch(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """There is no thread, no queue and no span. The switch overrides a trace file."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    async with tracing("gateway", registry) as tracer:
        assert not tracer.is_on
        assert not tracer.start(SHAPE).is_recording()


def test_spans_identify_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, namespace, version, and an id that no other process has; the environment overrides."""
    attributes = resource_of("gateway").attributes
    assert attributes["service.name"] == "ringback-gateway"
    assert attributes["service.namespace"] == "ringback"
    assert attributes["service.version"] == ringback.__version__
    assert UUID(str(attributes["service.instance.id"])).version == 4

    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.instance.id=pod-1,x=y")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "inbox")
    attributes = resource_of("gateway").attributes
    assert (attributes["service.name"], attributes["service.instance.id"], attributes["x"]) == (
        "inbox",
        "pod-1",
        "y",
    )


@pytest.mark.slow
@pytest.mark.parametrize("value", ["garbage=,%", "", " ", "-1"])
def test_no_variable_of_opentelemetry_stops_a_service(value: str) -> None:
    """Some are read when a library is imported, and raise there."""
    code = (
        "import runpy\n"
        "import ringback.runtime.process.lifecycle as lifecycle\n"
        "lifecycle.run = lambda main: 0\n"
        "for service in ('gateway', 'processor', 'metrics'):\n"
        "    try: runpy.run_module(f'ringback.services.{service}', run_name='__main__')\n"
        "    except SystemExit as exc: assert not exc.code\n"
    )
    variables = [
        *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
        *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_PROPAGATORS"),
        *("OTEL_PYTHON_CONTEXT", "OTEL_PYTHON_ID_GENERATOR", "OTEL_PYTHON_TRACER_PROVIDER"),
        *("OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SEMCONV_STABILITY_OPT_IN", "OTEL_LOG_LEVEL"),
        *("OTEL_METRICS_EXPORTER", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_EXPORTER_OTLP_INSECURE"),
    ]
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | dict.fromkeys(variables, value),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
