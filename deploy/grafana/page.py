"""What all dashboards share: links to each other, firing alerts, the time range."""

from collections.abc import Iterable, Mapping
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
)

from deploy.grafana.query import PROMETHEUS

TAG: Final = "ringback"
REPOSITORY: Final = ""
"""Where the files of this repository can be read; an installation sets its own URL."""

Rows = Mapping[str, Iterable[Builder[Panel]]]


def page(
    uid: str, title: str, description: str, rows: Rows, *, refresh: str = "30s"
) -> dashboard.Dashboard:
    """A dashboard of named rows of panels."""
    board = dashboard.Dashboard(f"Ringback: {title}").uid(uid).description(description).tags([TAG])
    board.time("now-1h", "now").timezone("browser").refresh(refresh).readonly()
    board.tooltip(DashboardCursorSync.CROSSHAIR).version(1)
    board.link(
        dashboard.DashboardLink("Ringback")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(keep_time=True)
    )
    board.annotation(
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color("red")
        .expr('max by (alertname, severity) (ALERTS{alertstate="firing", alertname=~"Ringback.*"})')
    )
    board.with_variable(dashboard.TextBoxVariable("repository").default_value(REPOSITORY))
    for name, panels in rows.items():
        board.with_row(dashboard.Row(name))
        for panel in panels:
            board.with_panel(panel)
    return board
