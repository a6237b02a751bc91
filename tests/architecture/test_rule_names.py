"""The rules use only series that the services export."""

from collections.abc import Iterator

import pytest

from ringback.contract.telemetry import all_metrics
from ringback.contract.telemetry.spec import Kind, MetricSpec, Open
from tests.architecture.alert_rules import Rule, all_rules
from tests.architecture.promql_names import Selector, grouping_labels, selectors

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


def id_of(rule: Rule) -> str:
    return f"{rule.alert or rule.records}-{'-'.join(rule.labels.values())}"


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


@pytest.mark.parametrize("rule", all_rules(), ids=id_of)
def test_a_rule_names_what_is_declared(rule: Rule) -> None:
    """Each series, each label of it, and each value of a label."""
    asked = selectors(rule.expression)

    labels = {label for one in asked for label in KNOWN.get(one.metric, ())}
    assert {one.metric for one in asked} <= set(KNOWN)
    for one in asked:
        assert set(one.values) <= KNOWN[one.metric], one
        assert not unknown_values(one), one
    assert grouping_labels(rule.expression) <= labels


def test_names_are_found_in_an_expression() -> None:
    """What this file relies on: series, matchers and groupings are seen, functions are not."""
    expression = """
        label_replace(absent(sum(up{job="x"}) > 0), "to", "$1", "from", "")
        or on (job) rate(a_total{code=~"1|2",kind!="b"}[5m] offset 1h) / on () group_left (c) d
    """

    found = {one.metric: one.values for one in selectors(expression)}

    assert found == {
        "up": {"job": ("x",)},
        "a_total": {"code": ("1", "2"), "kind": ("b",)},
        "d": {},
    }
    assert grouping_labels(expression) == {"job", "c"}
