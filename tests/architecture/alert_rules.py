"""The rule files of `deploy/prometheus/`, as values."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.source import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASE_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))


@dataclass(frozen=True)
class Rule:
    """An alert, or a recording of a series."""

    alert: str | None
    records: str | None
    expression: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class Case:
    """What `promtool test rules` tries: at one moment an alert fires, or does not."""

    alert: str
    fires: bool
    has_series: bool


@cache
def document(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@cache
def all_rules() -> list[Rule]:
    return [
        Rule(
            alert=said.get("alert"),
            records=said.get("record"),
            expression=str(said["expr"]),
            labels=said.get("labels", {}),
            annotations=said.get("annotations", {}),
        )
        for file in RULE_FILES
        for group in document(file)["groups"]
        for said in group["rules"]
    ]


def all_alerts() -> list[Rule]:
    return [rule for rule in all_rules() if rule.alert is not None]


def alert_names() -> list[str]:
    """Without repetition: an objective has two alerts of one name."""
    return sorted({rule.alert for rule in all_rules() if rule.alert is not None})


@cache
def all_cases() -> list[Case]:
    return [
        Case(
            alert=tried["alertname"],
            fires=bool(tried["exp_alerts"]),
            has_series=bool(test["input_series"]),
        )
        for file in CASE_FILES
        for test in document(file)["tests"]
        for tried in test.get("alert_rule_test", [])
    ]
