"""Runs the queries of a dashboard's panel on Prometheus and PostgreSQL."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import asyncpg

from deploy.grafana.query import with_default_variables

ANSWER_WITHIN_S = 20.0
_POINTS = 240
_NOT_SHOWN = {"__name__"}


@dataclass(frozen=True, slots=True)
class Series:
    """`at` in seconds since 1970."""

    name: str
    at: list[float]
    values: list[float]


@dataclass(frozen=True, slots=True)
class QueryResults:
    series: list[Series] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelQueries:
    """`since` and `until` in seconds since 1970; `rate_interval` replaces Grafana's variable."""

    prometheus: str
    database: asyncpg.Connection
    org: str
    since: float
    until: float
    rate_interval: str = "30s"

    async def panel(self, panel: Mapping[str, Any]) -> QueryResults:
        """All targets' answers together."""
        series: list[Series] = []
        for target in panel["targets"]:
            if "rawSql" in target:
                return await self._rows(target)
            if target["instant"]:
                return self._labels(target)
            series += self._curves(target)
        return QueryResults(series=series)

    def _curves(self, target: Mapping[str, Any]) -> list[Series]:
        step = max(1.0, (self.until - self.since) / _POINTS)
        asked = {"start": self.since, "end": self.until, "step": step}
        return [
            Series(
                _legend(target["legendFormat"], found["metric"]),
                [at for at, _ in found["values"]],
                [float(value) for _, value in found["values"]],
            )
            for found in self._asked("query_range", target, asked)
        ]

    def _labels(self, target: Mapping[str, Any]) -> QueryResults:
        found = [one["metric"] for one in self._asked("query", target, {"time": self.until})]
        columns = sorted({label for metric in found for label in metric} - _NOT_SHOWN)
        return QueryResults(
            columns=columns, rows=[[metric.get(name, "") for name in columns] for metric in found]
        )

    def _asked(
        self, path: str, target: Mapping[str, Any], asked: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        expression = with_default_variables(target["expr"])
        expression = expression.replace("$__rate_interval", self.rate_interval)
        address = f"{self.prometheus}/api/v1/{path}?{urlencode({'query': expression, **asked})}"
        with urlopen(address, timeout=ANSWER_WITHIN_S) as answer:  # ruff: ignore[suspicious-url-open-usage]  # the address is the caller's
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    async def _rows(self, target: Mapping[str, Any]) -> QueryResults:
        found = await self.database.fetch(self.sql(target["rawSql"]))
        columns = list(found[0].keys()) if found else []
        if target["format"] == "time_series":
            at = [row["time"].timestamp() for row in found]
            return QueryResults(
                series=[
                    Series(name, at, [float(row[name]) for row in found]) for name in columns[1:]
                ]
            )
        return QueryResults(columns=columns, rows=[list(row.values()) for row in found])

    def sql(self, text: str) -> str:
        """The statement with Grafana's macros and the organisation filled in."""
        for macro, seconds in (("$__timeFrom()", self.since), ("$__timeTo()", self.until)):
            text = text.replace(macro, f"to_timestamp({seconds})")
        return text.replace("$org", self.org)


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form)
