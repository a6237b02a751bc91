"""Print the declarations as a page; `make generate` writes it to `docs/telemetry.md`."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ringback.contract.telemetry import all_log_events, all_metrics
from ringback.contract.telemetry.all_services import COMMON_FIELDS, ERROR_FIELD, LOG_FIELDS
from ringback.contract.telemetry.spans import all_attributes, all_spans
from ringback.contract.telemetry.spec import LogEventSpec, MetricSpec, Open, Service, SpanSpec

_Emitted = TypeVar("_Emitted", MetricSpec, SpanSpec, LogEventSpec)

_SERVICE_NAMES = {
    Service.GATEWAY: "the gateway",
    Service.PROCESSOR: "the processor",
    Service.METRICS: "the metrics service",
}

_HEAD = """# Telemetry

All metrics, spans and log lines of Ringback. `make generate` makes this page from the declarations
in `ringback/contract/telemetry/`; a test starts the three services and compares what they emit with
the declarations."""

_METRICS = """## Metrics

Each service exports them at `/metrics` of its observability port, as text or as OpenMetrics. Series
whose labels are known in advance begin at 0. A gauge is absent while its value is unknown. The
Python client adds its own families, `process_*` and `python_*`.

OpenMetrics also has exemplars: a duration of the gateway or the processor names a trace in which it
was measured, if that trace is kept.

A histogram has no series of its own name, but existing dashboards query
`avg(webhook_processing_duration_seconds)`. A recording rule of that name in `deploy/prometheus/`
provides it: the mean duration of recent attempts, `sum` divided by `count`."""

_SPANS = """## Spans

A word in braces is the value of that attribute."""

_LOG_LINES = """## Log lines

JSON, one object per line, on stdout."""


def as_markdown() -> str:
    """The whole page, ending in a newline."""
    return "\n\n".join((_HEAD, *_metrics(), *_spans(), *_log_lines())) + "\n"


def _metrics() -> Iterator[str]:
    yield _METRICS
    for where, metrics in _by_services(all_metrics()):
        yield f"### Metrics of {where}"
        yield _table(
            ("metric", "type", "labels", "what"),
            [(_code(one.name), one.kind, _codes(one.labels), one.help) for one in metrics],
        )
    yield "### Values of labels"
    yield "\n".join(_label_values(all_metrics()))
    yield "### Buckets"
    yield "\n".join(
        f"- {_code(one.name)}: {', '.join(_decimal(bound) for bound in one.buckets)}"
        for one in all_metrics()
        if one.buckets
    )


def _decimal(bound: float) -> str:
    return f"{bound:.6f}".rstrip("0").rstrip(".")


def _label_values(metrics: Iterable[MetricSpec]) -> Iterator[str]:
    """Each label with its values once; metrics whose label has the same values share the line."""
    metrics_by_values: dict[tuple[str, str], list[str]] = {}
    for metric in metrics:
        for label, values in metric.labels.items():
            described = values.description if isinstance(values, Open) else _codes(values)
            metrics_by_values.setdefault((label, described), []).append(metric.name)
    for (label, described), names in metrics_by_values.items():
        yield f"- `{label}` of {_codes(names)}: {described}"


def _spans() -> Iterator[str]:
    yield _SPANS
    for where, spans in _by_services(all_spans()):
        yield f"### Spans of {where}"
        yield _table(
            ("span", "kind", "what", "attributes"),
            [(_code(one.name), one.kind, one.description, _codes(one.attributes)) for one in spans],
        )
    yield "### Attributes"
    yield _table(
        ("attribute", "what"), [(_code(one), one.description) for one in sorted(all_attributes())]
    )


def _log_lines() -> Iterator[str]:
    yield (
        f"{_LOG_LINES} Every line has {_codes(COMMON_FIELDS)}. Lines about an unexpected error"
        f" also have {_code(ERROR_FIELD)}, the traceback."
    )
    for where, events in _by_services(all_log_events()):
        yield f"### Lines of {where}"
        yield _table(
            ("event", "what", "fields"),
            [(_code(one), one.description, _codes(one.fields)) for one in events],
        )
    yield "### Fields"
    fields = sorted({**COMMON_FIELDS, **LOG_FIELDS}.items())
    yield _table(("field", "what"), [(_code(name), means) for name, means in fields])


def _by_services(emitted: Iterable[_Emitted]) -> Iterator[tuple[str, list[_Emitted]]]:
    """What the same services emit, under their names."""
    groups: dict[tuple[Service, ...], list[_Emitted]] = {}
    for one in emitted:
        groups.setdefault(one.services, []).append(one)
    every = list(Service)
    for services in sorted(groups, key=lambda one: (len(one), every.index(one[0]))):
        yield _names_of(services), groups[services]


def _names_of(services: tuple[Service, ...]) -> str:
    if set(services) == set(Service):
        return "every service"
    return " and ".join(_SERVICE_NAMES[service] for service in services)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell or '-' for cell in line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
