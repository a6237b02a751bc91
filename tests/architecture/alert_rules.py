"""The rule files of `deploy/prometheus/`, as values."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.source import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASE_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))


@dataclass(frozen=True)
class Rule:
    """One rule, an alert or a recording, as in its file."""

    file: Path
    said: dict[str, Any]

    @property
    def alert(self) -> str | None:
        name = self.said.get("alert")
        return None if name is None else str(name)

    @property
    def records(self) -> str | None:
        name = self.said.get("record")
        return None if name is None else str(name)

    @property
    def expression(self) -> str:
        return str(self.said["expr"])

    @cached_property
    def labels(self) -> dict[str, str]:
        return dict(self.said.get("labels", {}))

    @cached_property
    def annotations(self) -> dict[str, str]:
        return dict(self.said.get("annotations", {}))


@dataclass(frozen=True)
class Case:
    """What `promtool test rules` tries: at one moment an alert fires, or does not."""

    alert: str
    fires: bool
    has_series: bool


def document(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def all_rules() -> list[Rule]:
    return [
        Rule(file, said)
        for file in RULE_FILES
        for group in document(file)["groups"]
        for said in group["rules"]
    ]


def all_alerts() -> list[Rule]:
    return [rule for rule in all_rules() if rule.alert is not None]


def alert_names() -> list[str]:
    """Without repetition: an objective has two alerts of one name."""
    return sorted({rule.alert for rule in all_rules() if rule.alert is not None})


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
