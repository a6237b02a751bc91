"""The kinds of panels, each with a title, a description and a unit."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
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
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from deploy.grafana.limit import Limit, plain_steps
from deploy.grafana.query import Query

COUNT = "short"
SECONDS = "s"
BYTES = "bytes"
RATIO = "percentunit"
PER_SECOND = "suffix:/s"
PER_MINUTE = "suffix:/min"

_Kind = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What every panel has. `width` is in columns of 24; `words` replace values."""

    title: str
    says: str
    unit: str
    asks: tuple[Query, ...]
    width: int
    height: int = 8
    limit: Limit | None = None
    words: dict[str, tuple[str, str]] | None = None
    runbook: str | None = None
    most: float | None = None
    decimals: int | None = None

    def on(self, panel: _Kind) -> None:
        """Set on a panel what all kinds have."""
        panel.title(self.title).description(self.says).unit(self.unit)
        panel.span(self.width).height(self.height).datasource(self.asks[0].source)
        for place, ask in enumerate(self.asks):
            panel.with_target(ask.target(place))
        panel.thresholds(self.limit.steps() if self.limit else plain_steps())
        if self.most is not None:
            panel.max(self.most)
        if self.decimals is not None:
            panel.decimals(self.decimals)
        if self.words:
            panel.mappings([_words(self.words)])
        if self.runbook:
            panel.links([_RunbookLink(self.runbook)])


def figure(shown: Shown) -> stat.Panel:
    """One large figure: the last value of its query."""
    panel = stat.Panel().color_mode(BigValueColorMode.BACKGROUND_SOLID)
    panel.graph_mode(BigValueGraphMode.NONE).reduce_options(_last())
    if shown.limit is None and not shown.words:
        panel.color_mode(BigValueColorMode.VALUE)
    shown.on(panel)
    return panel


def curves(shown: Shown) -> timeseries.Panel:
    """Lines over time, with the limit as a dashed line."""
    panel = timeseries.Panel().fill_opacity(8).line_width(2).show_points(VisibilityMode.NEVER)
    panel.axis_soft_min(0).legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    if shown.limit:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    shown.on(panel)
    return panel


def bars(shown: Shown) -> bargauge.Panel:
    """A bar for each series: its last value."""
    panel = bargauge.Panel().display_mode(BarGaugeDisplayMode.BASIC).min(0)
    panel.orientation(VizOrientation.HORIZONTAL).reduce_options(_last())
    shown.on(panel)
    return panel


def rows(shown: Shown) -> table.Panel:
    """A table. Series are shown by their labels, without time and value."""
    panel = table.Panel().transformations(
        [
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True, "Value": True},
                    "renameByName": {"alertname": "Alert", "severity": "Severity"},
                },
            )
        ]
    )
    shown.on(panel)
    return panel


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False)


def _words(words: dict[str, tuple[str, str]]) -> ValueMapping:
    return ValueMap(
        options={
            value: ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(words.items())
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
