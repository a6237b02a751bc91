"""What every alert needs: labels, a runbook and test cases."""

import re

import pytest

from deploy.prometheus.objectives import OUR_FAULTS
from deploy.prometheus.slo_rules import RULES, slo_rules
from ringback.contract import thresholds
from ringback.contract.telemetry.gateway import REJECTION_REASONS
from ringback.contract.telemetry.spec import Service
from ringback.local.ports import LocalPorts
from ringback.local.prometheus import prometheus_config
from ringback.services.gateway.http import rejection
from tests.architecture.alert_rules import (
    PROMETHEUS,
    alert_names,
    all_alerts,
    all_cases,
    document,
)
from tests.architecture.source import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = ("ringback-overview", "ringback-queues", "ringback-tenant", "ringback-runtime")
HEADINGS = (
    "What it means",
    "What users notice",
    "What to look at",
    "What to do",
    "When it is false",
)
THRESHOLDS = {
    "RingbackBacklog": f"> {thresholds.WAITING}",
    "RingbackDeadLetters": f"> {thresholds.DEAD_LETTERS}",
    "RingbackFailureRateHigh": f"> {thresholds.FAILURE_RATIO:g}",
}


def test_an_alert_says_what_a_person_needs() -> None:
    """How bad it is, what happened, what to do, and where to look."""
    for rule in all_alerts():
        said = rule.annotations

        assert rule.labels["severity"] in {"critical", "warning"}, rule.alert
        assert said["summary"].strip(), rule.alert
        assert said["description"].strip().endswith(".")
        assert said["runbook_url"] == (
            f"{{{{ $externalLabels.repository }}}}/docs/runbooks/{rule.alert}.md"
        )
        assert said["dashboard_url"] in {
            f"{{{{ $externalLabels.grafana }}}}/d/{uid}" for uid in DASHBOARDS
        }


def test_an_alert_has_a_runbook() -> None:
    """It is named after the alert, has the five sections, and is listed in the index."""
    for name in alert_names():
        page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
        listed = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

        assert page.startswith(f"# {name}\n")
        assert tuple(re.findall(r"^## (.+)$", page, re.MULTILINE)) == HEADINGS
        assert f"[{name}]({name}.md)" in listed


def test_a_runbook_has_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}

    assert pages == set(alert_names())


def test_an_alert_is_tried_firing_and_silent() -> None:
    """Promtool tests both, each with meaningful series."""
    for name in alert_names():
        tried = [case for case in all_cases() if case.alert == name]

        assert all(case.has_series for case in tried), name
        assert {case.fires for case in tried} == {True, False}, name


@pytest.mark.parametrize("name", THRESHOLDS)
def test_an_alert_has_the_threshold_of_health(name: str) -> None:
    """What `ringback health` calls unhealthy raises an alert, by the same figure."""
    [rule] = [rule for rule in all_alerts() if rule.alert == name]

    assert re.search(rf"{THRESHOLDS[name]}(?![\d.])", rule.expression)


def test_the_rules_of_objectives_are_what_the_program_writes() -> None:
    assert RULES.read_text(encoding="utf-8") == slo_rules()


def test_availability_counts_what_is_our_fault() -> None:
    """Each reason of a 5xx, and no reason of a 4xx."""
    told = {one for one in vars(rejection).values() if isinstance(one, rejection.Rejection)}
    senders = {one.reason for one in told if one.status < 500}
    ours = {one.reason for one in told if one.status >= 500} & set(REJECTION_REASONS)

    assert ours <= set(OUR_FAULTS) <= set(REJECTION_REASONS)
    assert not senders & set(OUR_FAULTS)


def test_jobs_have_the_names_that_rules_ask_for() -> None:
    """In the file for servers and in the one of the local stack."""
    for_servers = document(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    local = prometheus_config(LocalPorts(), scrapes_broker=True)

    assert {one["job_name"] for one in for_servers} == {*Service, "rabbitmq"}
    assert all(f'"job_name": "{one["job_name"]}"' in local for one in for_servers)
