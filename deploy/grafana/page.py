"""What all dashboards share: links to each other, firing alerts, the time range."""

from collections.abc import Iterable, Mapping
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.query import DATA_SOURCES, OF_NAMESPACE, OF_RULES, POSTGRESQL, PROMETHEUS
from ringback.contract.telemetry import Metric

TAG: Final = "ringback"
REPOSITORY: Final = ""
"""Where the files of this repository can be read; an installation sets its own URL."""

Rows = Mapping[str, Iterable[Builder[Panel]]]

_ALL: Final = VariableOption(selected=True, text="All", value="$__all")
FIRING: Final = f'ALERTS{{alertstate="firing", alertname=~"Ringback.*", {OF_RULES}}}'


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
        .include_vars(include_vars=True)
    )
    board.annotation(
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color("red")
        .expr(f"max by (alertname, severity) ({FIRING})")
    )
    for variable in _variables():
        board.with_variable(variable)
    for name, panels in rows.items():
        board.with_row(dashboard.Row(name))
        for panel in panels:
            board.with_panel(panel)
    return board


def _variables() -> Iterable[Builder[VariableModel]]:
    """Where the data is, which installation is shown, and where the runbooks are."""
    yield _source("datasource", "Prometheus", str(PROMETHEUS.type_val))
    yield _source("log", "Delivery log", str(POSTGRESQL.type_val))
    build = Metric.BUILD_INFO.name
    yield _values("namespace", "Namespace", f"label_values({build}, namespace)").all_value(".*")
    yield _values("job", "Service", f"label_values({build}{{{OF_NAMESPACE}}}, job)")
    yield (
        dashboard.TextBoxVariable("repository")
        .label("Address of the runbooks")
        .default_value(REPOSITORY)
    )


def _source(name: str, label: str, kind: str) -> dashboard.DatasourceVariable:
    uid = DATA_SOURCES[name]
    return (
        dashboard.DatasourceVariable(name)
        .label(label)
        .type(kind)
        .current(VariableOption(selected=True, text=uid, value=uid))
    )


def _values(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable for values of a label, of which all are chosen at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(_ALL)
    )
