"""The kinds of panels, each with a title, a description and a unit."""

import re
from dataclasses import dataclass
from typing import Final, Self

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from deploy.grafana.query import Query, SqlQuery

COUNT = "short"
SECONDS = "s"
BYTES = "bytes"
RATIO = "percentunit"
PER_SECOND = "suffix:/s"
PER_MINUTE = "suffix:/min"

_Kind = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel

GOOD = "green"
BAD = "red"

OUTCOME_COLOURS: Final = {
    "completed": "green",
    "failed|retrying": "orange",
    "dead[ _]letters?|permanent": "red",
    "duplicates?": "purple",
    "pending": "blue",
    "accepted": "light-blue",
    "refused": "yellow",
}
"""The colour of each outcome, by a pattern for the names of its series, on all dashboards."""

BREAKER_STATES: Final = {
    "0": ("closed", "green"),
    "1": ("half-open", "orange"),
    "2": ("open", "red"),
}
"""The text and the colour of each value of `webhook_destination_state`."""

_OUTCOME_LABELS: Final = ("{{outcome}}", "{{status}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Colours from a value upwards; the first has no lower end."""

    below: str
    value: float
    above: str

    @classmethod
    def good_up_to(cls, value: float) -> Self:
        return cls(below=GOOD, value=value, above=BAD)

    @classmethod
    def good_from(cls, value: float) -> Self:
        return cls(below=BAD, value=value, above=GOOD)

    def steps(self) -> ThresholdsConfig:
        return (
            ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps(
                [
                    Threshold(value=None, color=self.below),
                    Threshold(value=self.value, color=self.above),
                ]
            )
        )


def _neutral_steps() -> ThresholdsConfig:
    """Give a panel without a limit a neutral colour."""
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(color="text")])


@dataclass(frozen=True, slots=True, kw_only=True)
class _PanelSpec(Builder[Panel]):
    """What every panel has. `width` is in columns of 24; `value_texts` replace values."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    limit: Limit | None = None
    value_texts: dict[str, tuple[str, str]] | None = None
    runbook: str | None = None
    maximum: float | None = None
    decimals: int | None = None

    def _set_on(self, panel: _Kind) -> Panel:
        panel.title(self.title).description(self.description).unit(self.unit)
        panel.span(self.width).height(self.height).datasource(self.queries[0].source)
        for place, query in enumerate(self.queries):
            panel.with_target(query.target(place))
        panel.thresholds(self.limit.steps() if self.limit else _neutral_steps())
        if self.maximum is not None:
            panel.max(self.maximum)
        if self.decimals is not None:
            panel.decimals(self.decimals)
        if self.value_texts:
            panel.mappings([_value_mapping(self.value_texts)])
        if self.runbook:
            panel.links([_RunbookLink(self.runbook)])
        return panel.build()


class Figure(_PanelSpec):
    """One large figure: the last value of its query."""

    def build(self) -> Panel:
        panel = stat.Panel().color_mode(BigValueColorMode.BACKGROUND_SOLID)
        panel.graph_mode(BigValueGraphMode.NONE).reduce_options(_last())
        if self.limit is None and not self.value_texts:
            panel.color_mode(BigValueColorMode.VALUE)
        return self._set_on(panel)


class _SeriesPanel(_PanelSpec):
    """A panel in which each series has a colour; that of an outcome is the same everywhere."""

    def _colour_outcomes(self, panel: timeseries.Panel | bargauge.Panel) -> None:
        for pattern, colour in OUTCOME_COLOURS.items():
            if any(_may_be_named(query, pattern) for query in self.queries):
                panel.with_override(
                    MatcherConfig(id_val="byRegexp", options=f"/^({pattern})$/"),
                    [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})],
                )


def _may_be_named(query: Query, pattern: str) -> bool:
    """Whether a series of the query has an outcome as its name, or may have one."""
    if isinstance(query, SqlQuery):
        return True
    return query.legend in _OUTCOME_LABELS or bool(re.fullmatch(pattern, query.legend))


class Curves(_SeriesPanel):
    """Lines over time, with the limit as a dashed line."""

    def build(self) -> Panel:
        panel = timeseries.Panel().fill_opacity(8).line_width(2).show_points(VisibilityMode.NEVER)
        panel.axis_soft_min(0).legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        if self.limit:
            panel.thresholds_style(
                common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
            )
        self._colour_outcomes(panel)
        return self._set_on(panel)


class Bars(_SeriesPanel):
    """A bar for each series: its last value."""

    def build(self) -> Panel:
        panel = bargauge.Panel().display_mode(BarGaugeDisplayMode.BASIC).min(0)
        panel.orientation(VizOrientation.HORIZONTAL).reduce_options(_last())
        self._colour_outcomes(panel)
        return self._set_on(panel)


class Rows(_PanelSpec):
    """A table. Series are shown by their labels, without time and value."""

    def build(self) -> Panel:
        options = {
            "excludeByName": {"Time": True, "Value": True},
            "renameByName": {"alertname": "Alert", "severity": "Severity"},
        }
        panel = table.Panel().transformations(
            [DataTransformerConfig(id_val="organize", options=options)]
        )
        return self._set_on(panel)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False)


def _value_mapping(texts: dict[str, tuple[str, str]]) -> ValueMapping:
    return ValueMap(
        options={
            value: ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(texts.items())
        }
    )


class _RunbookLink(Builder[DashboardLink]):
    """A link to an alert's runbook, in the repository that the dashboard's variable names."""

    def __init__(self, alert: str) -> None:
        self._alert = alert

    def build(self) -> DashboardLink:
        return DashboardLink(
            title="Runbook",
            type_val=DashboardLinkType.LINK,
            url=f"${{repository}}/docs/runbooks/{self._alert}.md",
            target_blank=True,
        )
