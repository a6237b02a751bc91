"""The rules use only series that the services export."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ringback.contract.telemetry import all_metrics
from ringback.contract.telemetry.spec import Kind, MetricSpec, Open
from tests.architecture.alert_rules import all_rules

_WORDS = frozenset(
    {"and", "or", "unless", "on", "ignoring", "by", "without", "group_left", "group_right"}
    | {"bool", "offset", "inf", "nan"}
)
_STRING = re.compile(r'([=~]?)"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_WINDOW = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^{}]*)\})?(?!\s*\()(?![\w:])")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Selector:
    """`values` are those that the matchers of a label spell out, each alternative apart."""

    metric: str
    values: dict[str, tuple[str, ...]]


def selectors(expression: str) -> list[Selector]:
    """Each series that is asked for, with the matchers of its labels."""
    text = _GROUPING.sub(" ", _WINDOW.sub(" ", _without_arguments(expression)))
    return [
        Selector(name, {label: _spelled(how, value) for label, how, value in _matchers(matchers)})
        for name, matchers in _SELECTOR.findall(text)
        if name not in _WORDS
    ]


def grouping_labels(expression: str) -> set[str]:
    """The labels by which it groups or matches."""
    inside = ",".join(_GROUPING.findall(expression))
    return {label.strip() for label in inside.split(",") if label.strip()}


def _matchers(text: str) -> list[tuple[str, str, str]]:
    return _MATCHER.findall(text)


def _spelled(how: str, value: str) -> tuple[str, ...]:
    return tuple(value.split("|")) if "~" in how else (value,)


def _without_arguments(expression: str) -> str:
    """Without the texts that no matcher compares with."""
    return _STRING.sub(lambda found: found[0] if found[1] else "", expression)


OF_PROMETHEUS = {"job", "instance"}
FOREIGN = {
    "up": OF_PROMETHEUS,
    "rabbitmq_global_messages_dead_lettered_delivery_limit_total": OF_PROMETHEUS,
}


def series_of(spec: MetricSpec) -> Iterator[tuple[str, set[str]]]:
    labels = {*spec.labels, *OF_PROMETHEUS}
    if spec.kind is Kind.HISTOGRAM:
        yield f"{spec.name}_bucket", labels | {"le"}
        yield f"{spec.name}_sum", labels
        yield f"{spec.name}_count", labels
    else:
        yield spec.name, labels


RECORDED = {rule.records: set(rule.labels) for rule in all_rules() if rule.records}
DECLARED = {name: labels for spec in all_metrics() for name, labels in series_of(spec)}
KNOWN = DECLARED | FOREIGN | RECORDED
SPECS = {name: spec for spec in all_metrics() for name, _ in series_of(spec)}


def unknown_values(selector: Selector) -> dict[str, set[str]]:
    """Values that a declared label never has; of open labels and buckets only the bounds count."""
    spec = SPECS.get(selector.metric)
    found = {}
    for label, values in selector.values.items():
        if spec is None or label in OF_PROMETHEUS:
            continue
        if label == "le":
            allowed = {str(float(bound)) for bound in spec.buckets or ()}
        else:
            declared = spec.labels[label]
            allowed = set(values) if isinstance(declared, Open) else set(declared)
        if set(values) - allowed:
            found[label] = set(values) - allowed
    return found


def test_a_rule_names_what_is_declared() -> None:
    """Each series, each label of it, and each value of a label."""
    for rule in all_rules():
        asked = selectors(rule.expression)

        labels = {label for one in asked for label in KNOWN.get(one.metric, ())}
        assert {one.metric for one in asked} <= set(KNOWN)
        for one in asked:
            assert set(one.values) <= KNOWN[one.metric], one
            assert not unknown_values(one), one
        assert grouping_labels(rule.expression) <= labels, rule.expression
