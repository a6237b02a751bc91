"""The committed dashboards are up to date and use only declared metrics."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.generate import FOLDER, generated
from deploy.grafana.query import DATA_SOURCES
from ringback.contract import thresholds
from ringback.contract.telemetry import all_metrics
from ringback.contract.telemetry.spec import Kind
from tests.architecture.alert_rules import all_alerts, all_rules

GRAFANA = FOLDER.parent

#: What Prometheus, its client in every process and RabbitMQ's exporter add.
FOREIGN_METRICS = {
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_process_resident_memory_bytes",
}
FOREIGN_LABELS = {
    "namespace", "job", "instance", "le", "alertname", "alertstate", "severity", "sloth_id",
}  # fmt: skip

WORDS_OF_PROMQL = {
    "by", "or", "sum", "max", "min", "count", "rate", "increase", "vector", "topk",
    "histogram_quantile",
}  # fmt: skip


@cache
def boards() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Any) -> Iterator[Any]:
    yield from (panel for panel in board["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    found = [target.get("expr") for board in boards().values() for panel in panels(board)
             for target in panel["targets"]]  # fmt: skip
    return [expression for expression in found if expression]


@cache
def series_and_labels() -> tuple[set[str], set[str]]:
    recorded = {rule.records for rule in all_rules() if rule.records}
    names, labels = FOREIGN_METRICS | recorded, set(FOREIGN_LABELS)
    for spec in all_metrics():
        suffixes = ("_bucket", "_count", "_sum") if spec.kind is Kind.HISTOGRAM else ("",)
        names |= {f"{spec.name}{suffix}" for suffix in suffixes}
        labels |= set(spec.labels)
    return names, labels


def test_the_committed_dashboards_are_up_to_date() -> None:
    """`make generate` regenerates them."""
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}

    assert committed == generated()
    assert set(boards()) == {
        "ringback-overview", "ringback-queues", "ringback-tenant", "ringback-runtime",
    }  # fmt: skip


def test_a_panel_is_described() -> None:
    """It has a title, a description that is a sentence, a unit, and a query."""
    for panel in (panel for board in boards().values() for panel in panels(board)):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("uid", sorted(boards()))
def test_panels_do_not_overlap(uid: str) -> None:
    """And none is wider than the page."""
    taken: set[tuple[int, int]] = set()

    for panel in boards()[uid]["panels"]:
        at = panel["gridPos"]
        right, bottom = at["x"] + at["w"], at["y"] + at["h"]
        cells = {(x, y) for x in range(at["x"], right) for y in range(at["y"], bottom)}
        assert right <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_an_expression_names_only_declared_metrics_and_labels() -> None:
    """A renamed metric or label leaves no empty panel behind."""
    for expression in sorted(set(expressions())):
        series, labels = series_and_labels()
        bare = re.sub(r'"[^"]*"', '""', expression)

        matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", bare))
        grouped = {
            label.strip()
            for group in re.findall(r"by \(([^)]*)\)", bare)
            for label in group.split(",")
        }
        rest = re.sub(r"\{[^}]*\}|by \([^)]*\)|\[[^\]]*\]", " ", bare)
        named = set(re.findall(r"[a-zA-Z_:][\w:]*", rest)) - WORDS_OF_PROMQL

        assert named, expression
        assert named <= series, expression
        assert matched | grouped <= labels, expression


def test_drawn_limits_are_the_thresholds_of_alerts() -> None:
    """A panel turns red where its alert fires; 0 and 1 are a used-up budget, and one at all."""
    known = {
        thresholds.WAITING, thresholds.DEAD_LETTERS + 1, thresholds.FINISH_SECONDS,
        thresholds.SUCCESS_RATIO, thresholds.ATTEMPTS, thresholds.OLDEST_SECONDS,
        thresholds.ORDER_STOPPED_SECONDS, 0, 1,
    }  # fmt: skip

    drawn = {
        step["value"]
        for board in boards().values()
        for panel in panels(board)
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if step["value"] is not None
    }

    assert drawn == known


def test_the_data_sources_are_variables_with_provisioned_values() -> None:
    """And exemplars link to a source of traces."""
    document = yaml.safe_load((GRAFANA / "provisioning/datasources/ringback.yaml").read_text())
    sources = {source["uid"]: source for source in document["datasources"]}

    asked = {panel["datasource"]["uid"] for board in boards().values() for panel in panels(board)}
    variables = [one for board in boards().values() for one in board["templating"]["list"]]
    current = {
        one["name"]: one["current"]["value"] for one in variables if one["type"] == "datasource"
    }
    exemplars = sources["ringback-prometheus"]["jsonData"]["exemplarTraceIdDestinations"]

    assert asked == {f"${{{name}}}" for name in DATA_SOURCES}
    assert current == DATA_SOURCES
    assert set(DATA_SOURCES.values()) <= set(sources)
    assert [one["datasourceUid"] for one in exemplars] == ["ringback-traces"]
    assert "ringback-traces" in sources


def test_an_expression_reads_only_the_chosen_installation() -> None:
    """Each selector has the namespace, and the job if it is a series of a service."""
    for expression in sorted(set(expressions())):
        selectors = re.findall(r"([\w:]+)(\{[^}]*\})?", re.sub(r"by \([^)]*\)", "", expression))
        ours = {spec.name for spec in all_metrics()}

        for name, matchers in selectors:
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            if {name, base} & (ours | series_and_labels()[0]):
                assert 'namespace=~"$namespace' in matchers, expression
                has_job = bool({name, base} & ours or is_of_job(name))
                assert ('job=~"$job"' in matchers) == has_job, expression


def is_of_job(name: str) -> bool:
    return name == "up" or name.startswith("process_")


def test_an_alert_links_to_a_dashboard_that_shows_its_figure() -> None:
    """If a panel links to the alert's runbook, the alert links to such a panel's dashboard."""
    shown: dict[str, set[str]] = {}
    for uid, board in boards().items():
        for panel in panels(board):
            for link in panel.get("links", ()):
                shown.setdefault(Path(link["url"]).stem, set()).add(uid)

    for rule in all_alerts():
        linked = rule.annotations["dashboard_url"].rpartition("/")[2]
        assert linked in shown.get(str(rule.alert), {linked}), rule.alert


def test_linked_runbooks_exist() -> None:
    """Each link of a panel leads to a file."""
    root = Path(__file__).parents[2]
    links = {
        link["url"].removeprefix("${repository}/")
        for board in boards().values()
        for panel in panels(board)
        for link in panel.get("links", ())
    }

    assert links
    assert {link for link in links if not (root / link).is_file()} == set()
