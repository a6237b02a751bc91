"""What the services emit is what `ringback.contract.telemetry` declares, both ways."""

# ruff: file-ignore[suspicious-subprocess-import] - promtool is a program.
import shutil
import subprocess

import pytest
from prometheus_client import Metric as Family

import ringback
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry import LogEvent, Metric, all_log_events, all_metrics
from ringback.contract.telemetry.all_services import COMMON_FIELDS, ERROR_FIELD
from ringback.contract.telemetry.spans import Attribute, all_spans
from ringback.contract.telemetry.spec import MetricSpec, Open
from ringback.contract.topology import topology
from ringback.services.metrics.transport.methods import methods_of
from tests.acceptance.telemetry_run import Emitted
from tests.acceptance.whole import SCHEDULE, SERVICES

#: What an open label may hold, where a test can know it.
OPEN_VALUES = {
    "queue": {queue.name for queue in topology(RetrySchedule.parse(SCHEDULE)).queues},
    "method": {method.full_name for method in methods_of()},
    "version": {ringback.__version__},
    "service": set(SERVICES),
    "attempt": {str(number) for number in range(1, RetrySchedule.parse(SCHEDULE).max_attempts + 1)},
}
MOST_OPEN_VALUES = 30

#: Labels of which some values hardly ever come; their series begin when they do.
BEGIN_LATER = {
    (Metric.RPC_CALLS.name, "code"),
    (Metric.QUESTION_BREAKER_OPEN.name, "event_type"),
}

#: Failures that the run does not cause, or webhooks that meet by chance.
NOT_DRIVEN = {
    str(Attribute.ERROR_TYPE),
    str(Attribute.IS_REPEATED),
    str(Attribute.DELIVERIES_BEFORE),
    str(Attribute.DB_BATCH_SIZE),
    # Of webhooks that wait in PostgreSQL: the delays of this run are short.
    str(Attribute.WAIT_REASON),
    str(Attribute.RETRY_DELAY_MS),
}

#: The events that the run causes; the others report failures that it does not cause.
DRIVEN = (
    LogEvent.GATEWAY_STARTED,
    LogEvent.WEBHOOK_ACCEPTED,
    LogEvent.WEBHOOK_REJECTED,
    LogEvent.GATEWAY_STOPPING,
    LogEvent.PROCESSOR_READY,
    LogEvent.ATTEMPT_FINISHED,
    LogEvent.DEAD_LETTER_RECORDED,
    LogEvent.MESSAGE_UNDELIVERABLE,
    LogEvent.PROCESSING_PAUSED,
    LogEvent.PROCESSING_RESUMED,
    LogEvent.PROCESSOR_STOPPING,
    LogEvent.PROCESSOR_STOPPED,
    LogEvent.METRICS_READY,
    LogEvent.RPC_FINISHED,
    LogEvent.METRICS_STOPPING,
    LogEvent.METRICS_STOPPED,
    LogEvent.BROKER_CONNECTED,
)


def metrics_of(service: str) -> dict[str, MetricSpec]:
    return {one.name: one for one in all_metrics() if service in one.services}


def values_of(family: Family, label: str) -> set[str]:
    return {sample.labels[label] for sample in family.samples}


def test_families_are_those_that_are_declared(emitted: Emitted) -> None:
    """Each service exposes its metrics with their types and words, all of them, and no others."""
    for service in SERVICES:
        exposed = {
            name: (family.type, family.documentation)
            for name, family in emitted.families(service).items()
        }

        assert exposed == {
            name: (spec.kind.value, spec.help) for name, spec in metrics_of(service).items()
        }, service


def test_labels_and_their_values_are_declared(emitted: Emitted) -> None:
    """No sample has another label, nor another value of one; values known ahead are all there.

    Each histogram has the bounds of its declaration, and the infinite one.
    """
    for service in SERVICES:
        families = emitted.families(service)
        for name, spec in metrics_of(service).items():
            family = families[name]
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(spec.labels), sample
            check_values(spec, family)
            if spec.buckets:
                bounds = {float(one.labels["le"]) for one in family.samples if "le" in one.labels}
                assert bounds == {*spec.buckets, float("inf")}, name


def check_values(spec: MetricSpec, family: Family) -> None:
    for label, allowed in spec.labels.items():
        found = values_of(family, label)
        if isinstance(allowed, Open):
            assert found <= OPEN_VALUES.get(label, found)
            assert 0 < len(found) <= MOST_OPEN_VALUES, (spec.name, label)
        elif (spec.name, label) in BEGIN_LATER:
            assert found <= set(allowed), (spec.name, label)
        else:
            assert found == set(allowed), (spec.name, label)


WITH_EXEMPLARS = {
    "gateway": {
        Metric.PUBLISH_SECONDS.name,
        Metric.HTTP_SECONDS.name,
        Metric.QUESTION_SECONDS.name,
    },
    "processor": {
        Metric.PROCESSING_SECONDS.name,
        Metric.HANDLER_SECONDS.name,
        Metric.FIRST_ATTEMPT_DELAY_SECONDS.name,
        Metric.ATTEMPTS.name.removesuffix("_total"),
    },
}


def test_exemplars_lead_to_traces(emitted: Emitted) -> None:
    """OpenMetrics names traces with the samples, and each of them was exported by that service."""
    for service, families in WITH_EXEMPLARS.items():
        exemplars = emitted.exemplars(service)

        assert set(exemplars) == families
        traced = {span.trace_id for span in emitted.spans if span.service == f"ringback-{service}"}
        assert set().union(*exemplars.values()) <= traced


def test_log_lines_are_those_that_are_declared(emitted: Emitted) -> None:
    """Each line is of a declared event of its service and has exactly its fields."""
    for service in SERVICES:
        events = {str(event): event for event in all_log_events() if service in event.services}

        assert emitted.lines[service]
        for line in emitted.lines[service]:
            assert line["event"] in events, line
            assert line["service"] == service
            fields = set(line) - {ERROR_FIELD}
            assert fields == {*COMMON_FIELDS, *events[line["event"]].fields}, line


def test_what_happened_was_told(emitted: Emitted) -> None:
    """Every service that declares an event caused by the run logs it."""
    for event in DRIVEN:
        for service in event.services:
            assert event in {line["event"] for line in emitted.lines[service]}, (event, service)


def test_spans_are_those_that_are_declared(emitted: Emitted) -> None:
    """Each service emits all the spans that it declares, and no others."""
    for service in SERVICES:
        specs = [spec for spec in all_spans() if service in spec.services]
        spans = [span for span in emitted.spans if span.service == f"ringback-{service}"]

        for span in spans:
            assert any(span.is_of(spec) for spec in specs), span
        for spec in specs:
            assert any(span.is_of(spec) for span in spans), spec


def test_spans_have_all_their_attributes(emitted: Emitted) -> None:
    """Each declared attribute is on at least one of the spans."""
    for spec in all_spans():
        spans = [span for span in emitted.spans if span.is_of(spec)]

        found = {name for span in spans for name in span.attributes}
        found |= {str(Attribute.LINK) for span in spans if span.links}
        assert {str(one) for one in spec.attributes} - found <= NOT_DRIVEN, spec


def test_promtool_finds_nothing(emitted: Emitted) -> None:
    """Names, units and help texts follow the conventions of Prometheus."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: it comes with Debian's package prometheus")

    for service in SERVICES:
        checked = subprocess.run(
            [promtool, "check", "metrics"],
            input=emitted.observability_ports[service],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), service
