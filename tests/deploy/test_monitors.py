"""The labels that Prometheus gets from the monitors are those that rules and dashboards use."""

import re

import pytest
import yaml

from ringback.contract.telemetry import all_metrics
from tests.architecture.source import ROOT
from tests.deploy.policies.operators import operators_pods
from tests.deploy.rendered import Manifest, of_kind, overlay, selects, workloads

PROMETHEUS = ROOT / "deploy" / "prometheus"
#: What the operator adds to each target of a monitor of that kind.
ADDED = {
    "ServiceMonitor": {"namespace", "service", "pod", "container", "endpoint", "job", "instance"},
    "PodMonitor": {"namespace", "pod", "container", "endpoint", "job", "instance"},
}
SELECTED_JOB = re.compile(r'\bjob=~?\\?"([^"\\]+)\\?"')


def monitors() -> list[Manifest]:
    return [*of_kind(overlay("production"), "ServiceMonitor", "PodMonitor")]


def jobs_of(monitor: Manifest) -> set[str]:
    """The label `job` of its targets: set by an endpoint, or else a label of the target."""
    spec = monitor["spec"]
    if monitor["kind"] == "ServiceMonitor":
        services = of_kind(overlay("production"), "Service")
        candidates = [one["metadata"].get("labels", {}) for one in services]
    else:
        pods = [one.labels for one in workloads(overlay("production"))]
        candidates = [*pods, *operators_pods(overlay("production"))]
    [endpoint] = spec.get("endpoints") or spec["podMetricsEndpoints"]
    for step in endpoint.get("relabelings", []):
        if step["targetLabel"] == "job":
            return {step["replacement"]}
    return {one[spec["jobLabel"]] for one in candidates if selects(spec["selector"], one)}


def test_jobs_have_the_names_of_prometheus_yml() -> None:
    """One for each monitor; those of deploy/prometheus are among them."""
    found = {one["metadata"]["name"]: jobs_of(one) for one in monitors()}
    configured = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))

    assert found == {name: {name} for name in found}
    assert {one["job_name"] for one in configured["scrape_configs"]} <= {*found}


def test_rules_and_dashboards_select_existing_jobs() -> None:
    """Each job that an expression selects belongs to a monitor."""
    found = {job for one in monitors() for job in jobs_of(one)}
    texts = [path.read_text(encoding="utf-8") for path in PROMETHEUS.glob("rules/*.yml")]
    for one in of_kind(overlay("production"), "ConfigMap"):
        texts += [text for name, text in one["data"].items() if name.endswith(".json")]
    asked = {job for text in texts for hit in SELECTED_JOB.findall(text) for job in hit.split("|")}

    # A variable of a dashboard lists the jobs that there are.
    asked -= {"$job"}
    assert {"gateway", "processor", "metrics"} <= asked <= found


@pytest.mark.parametrize("monitor", monitors(), ids=lambda one: one["metadata"]["name"])
def test_no_target_label_replaces_a_label_of_a_metric(monitor: Manifest) -> None:
    """Otherwise it is renamed to `exported_…`, and queries get the target's label, or nothing."""
    [endpoint] = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    taken = ADDED[monitor["kind"]]
    given_way = {
        metric.name
        for metric in all_metrics()
        if taken & {*metric.labels}
        and monitor["metadata"]["name"] in {str(service) for service in metric.services}
    }

    assert not given_way or endpoint.get("honorLabels") is True, given_way
