# ruff: file-ignore[implicit-namespace-package] - a program beside what it writes, and no package.
"""Writes rules/slo.yml: the objectives as multi-window, multi-burn-rate rules.

The names of the rules and their labels are those of Sloth, so that dashboards made for Sloth work.
The windows are those of the Site Reliability Workbook for a period of 30 days.

Renew the file with `.venv/bin/python -m deploy.prometheus.slo_rules`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.prometheus.objectives import OBJECTIVES, Objective

RULES: Final = Path(__file__).parent / "rules" / "slo.yml"

PERIOD_DAYS: Final = 30
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FEWEST_BAD: Final = 5
"""An alert needs this many bad events: of ten webhooks a night, one is no trend."""

_HEAD: Final = """\
# Written by `.venv/bin/python -m deploy.prometheus.slo_rules` from deploy/prometheus/objectives.py.
groups:
"""


@dataclass(frozen=True, slots=True)
class Burn:
    """Fires while both windows burn the error budget `factor` times as fast as it would last."""

    short: str
    long: str
    factor: float


@dataclass(frozen=True, slots=True)
class Urgency:
    sloth_severity: str
    severity: str
    burns: tuple[Burn, Burn]
    means: str


URGENCIES: Final = (
    Urgency(
        "page",
        "critical",
        (Burn("5m", "1h", 14.4), Burn("30m", "6h", 6)),
        "At this rate, the error budget is used up within days.",
    ),
    Urgency(
        "ticket",
        "warning",
        (Burn("2h", "1d", 3), Burn("6h", "3d", 1)),
        "At this rate, the error budget does not last for its 30 days.",
    ),
)


def slo_rules() -> str:
    """The whole file, as YAML."""
    return _HEAD + "\n".join(line for slo in OBJECTIVES for line in _groups(slo)) + "\n"


def _groups(slo: Objective) -> Iterator[str]:
    yield from _group(f"sloth-slo-sli-recordings-{slo.sloth_id}")
    for window in WINDOWS:
        ratio = f"({slo.bad('rate', window)})\n/\n(({slo.total('rate', window)}) > 0)"
        yield from _record(slo, f"slo:sli_error:ratio_rate{window}", ratio, sloth_window=window)
    short = _series(slo, f"slo:sli_error:ratio_rate{WINDOWS[0]}")
    period = f"{PERIOD_DAYS}d"
    yield from _record(
        slo,
        f"slo:sli_error:ratio_rate{period}",
        f"sum_over_time({short}[{period}])\n"
        f"/ ignoring (sloth_window)\n"
        f"count_over_time({short}[{period}])",
        sloth_window=period,
    )
    yield from _group(f"sloth-slo-meta-recordings-{slo.sloth_id}")
    for name, expr in _meta(slo):
        yield from _record(slo, name, expr)
    yield from _record(slo, "sloth_slo_info", "vector(1)", sloth_objective=slo.percent)
    yield from _group(f"sloth-slo-alerts-{slo.sloth_id}")
    for urgency in URGENCIES:
        yield from _alert(slo, urgency)


def _meta(slo: Objective) -> Iterator[tuple[str, str]]:
    per_budget = "/ on (sloth_id, sloth_slo, sloth_service) group_left ()"
    budget = _series(slo, "slo:error_budget:ratio")
    now = _series(slo, f"slo:sli_error:ratio_rate{WINDOWS[0]}")
    period = _series(slo, f"slo:sli_error:ratio_rate{PERIOD_DAYS}d")
    yield "slo:objective:ratio", f"vector({slo.target})"
    yield "slo:error_budget:ratio", f"vector(1 - {slo.target})"
    yield "slo:time_period:days", f"vector({PERIOD_DAYS})"
    yield "slo:current_burn_rate:ratio", f"{now}\n{per_budget}\n{budget}"
    yield "slo:period_burn_rate:ratio", f"{period}\n{per_budget}\n{budget}"
    yield (
        "slo:period_error_budget_remaining:ratio",
        f"1 - {_series(slo, 'slo:period_burn_rate:ratio')}",
    )


def _alert(slo: Objective, urgency: Urgency) -> Iterator[str]:
    expr = "\nor\n".join(_burning(slo, burn) for burn in urgency.burns)
    yield f"      - alert: {slo.alert}"
    yield from _block("expr", expr)
    yield from _labels(
        slo, {"severity": urgency.severity, "sloth_severity": urgency.sloth_severity}
    )
    links = "{{ $externalLabels."
    yield "        annotations:"
    yield f"          summary: The error budget of {slo.name} is used up too fast"
    yield "          description: >-"
    yield f"            {slo.promise} {urgency.means}"
    yield f'          runbook_url: "{links}repository }}}}/docs/runbooks/{slo.alert}.md"'
    yield f'          dashboard_url: "{links}grafana }}}}/d/ringback-overview"'


def _burning(slo: Objective, burn: Burn) -> str:
    limit = f"({burn.factor} * (1 - {slo.target}))"
    both = "\n  and\n".join(
        f"  max({_series(slo, f'slo:sli_error:ratio_rate{window}')} > {limit})"
        " without (sloth_window)"
        for window in (burn.short, burn.long)
    )
    enough = f"  and on ()\n  ({slo.bad('increase', burn.long)}) >= {FEWEST_BAD}"
    return f"(\n{both}\n{enough}\n)"


def _series(slo: Objective, name: str) -> str:
    of = f'sloth_id="{slo.sloth_id}", sloth_service="{slo.service}", sloth_slo="{slo.name}"'
    return f"{name}{{{of}}}"


def _group(name: str) -> Iterator[str]:
    yield f"  - name: {name}"
    yield "    rules:"


def _record(slo: Objective, name: str, expr: str, **labels: str) -> Iterator[str]:
    yield f"      - record: {name}"
    yield from _block("expr", expr)
    yield from _labels(slo, labels)


def _block(key: str, text: str) -> Iterator[str]:
    yield f"        {key}: |"
    yield from (f"          {line}" for line in text.splitlines())


def _labels(slo: Objective, labels: Mapping[str, str]) -> Iterator[str]:
    ours = {"sloth_id": slo.sloth_id, "sloth_service": slo.service, "sloth_slo": slo.name}
    yield "        labels:"
    yield from (f'          {key}: "{value}"' for key, value in {**labels, **ours}.items())


if __name__ == "__main__":
    RULES.write_text(slo_rules(), encoding="utf-8")
