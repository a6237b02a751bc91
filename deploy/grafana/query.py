"""The queries of a panel, for Prometheus or PostgreSQL, and the PromQL that many panels need."""

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusBuilder
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import AnnotationQuery
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ringback.contract.telemetry.spec import MetricSpec, Service


def _data_source(kind: str, uid: str) -> Any:
    """The library's reference to a data source, whose class moves between its releases."""
    return AnnotationQuery.from_json({"datasource": {"type": kind, "uid": uid}}).datasource


PROMETHEUS: Final = _data_source("prometheus", "${datasource}")
POSTGRESQL: Final = _data_source("grafana-postgresql-datasource", "${log}")
DATA_SOURCES: Final = {"datasource": "ringback-prometheus", "log": "ringback-postgresql"}
"""The uid of the provisioned data source that each variable of a dashboard names first."""

SQL: Final = Path(__file__).parent / "sql"

OF_NAMESPACE: Final = 'namespace=~"$namespace"'
OURS: Final = f'{OF_NAMESPACE}, job=~"$job"'
"""Matches the series of the chosen services; without a choice, of all."""

OF_RULES: Final = 'namespace=~"$namespace|"'
"""Matches alerts and recorded series, which have a namespace only if Prometheus enforces one."""


def with_default_variables(text: str) -> str:
    """The text with what Grafana puts for the variables of a dashboard where nothing is chosen."""
    values = {**DATA_SOURCES, "namespace": ".*", "job": "|".join(Service)}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return text


@dataclass(frozen=True, slots=True)
class PromQuery:
    """One PromQL expression, and the name of its series in the legend.

    `exemplars` shows the traces behind a histogram; `instant` queries only the end of the range.
    """

    promql: str
    legend: str = ""
    exemplars: bool = False
    instant: bool = False

    @property
    def source(self) -> Any:
        return PROMETHEUS

    def target(self, place: int) -> Builder[Dataquery]:
        query = PrometheusBuilder().expr(self.promql).ref_id(ascii_uppercase[place])
        query = query.format(self._format).legend_format(self.legend).exemplar(self.exemplars)
        return query.instant() if self.instant else query.range()

    @property
    def _format(self) -> PromQueryFormat:
        return PromQueryFormat.TABLE if self.instant else PromQueryFormat.TIME_SERIES


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """One file of `sql/`; its rows are a table, or with `over_time` series by the column `time`."""

    file: str
    over_time: bool = False

    @property
    def source(self) -> Any:
        return POSTGRESQL

    def target(self, place: int) -> Builder[Dataquery]:
        return _PostgresTarget(
            {
                "datasource": POSTGRESQL.to_json(),
                "editorMode": "code",
                "format": "time_series" if self.over_time else "table",
                "rawQuery": True,
                "rawSql": (SQL / self.file).read_text(encoding="utf-8"),
                "refId": ascii_uppercase[place],
            }
        )


Query = PromQuery | SqlQuery


class _PostgresDataquery(Dataquery):
    """The library has no query type for PostgreSQL."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document

    def to_json(self) -> dict[str, object]:
        return self._document


class _PostgresTarget(Builder[Dataquery]):
    def __init__(self, document: dict[str, object]) -> None:
        self._document = document

    def build(self) -> Dataquery:
        return _PostgresDataquery(self._document)


WINDOW = "$__rate_interval"


def rate(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    """Events per second, over all replicas."""
    return f"sum{_by(by)}(rate({metric.name}{_where(where)}[{WINDOW}]))"


def per_minute(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    return f"60 * {rate(metric, by=by, where=where)}"


def quantile(share: float, metric: MetricSpec, *, by: str = "") -> str:
    """The seconds within which this share of a histogram is."""
    labels = f"le, {by}" if by else "le"
    buckets = f"sum by ({labels}) (rate({metric.name}_bucket{_where()}[{WINDOW}]))"
    return f"histogram_quantile({share}, {buckets})"


def quantiles(metric: MetricSpec, *shares: float) -> tuple[PromQuery, ...]:
    """Give a query for each share, with the traces behind the histogram."""
    return tuple(
        PromQuery(quantile(share, metric), f"p{share * 100:g}", exemplars=True) for share in shares
    )


def read(metric: MetricSpec, *, by: str = "", where: str = "", of: str = "max") -> str:
    """A gauge whose replicas export one reading, which `max` counts once; or another summary."""
    return f"{of}{_by(by)}({metric.name}{_where(where)})"


def total(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    """A gauge of which each replica exports its own part: the sum."""
    return f"sum{_by(by)}({metric.name}{_where(where)})"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def increase(metric: MetricSpec, window: str, *, where: str = "") -> str:
    """Events of the last `window`, over all replicas."""
    return f"sum(increase({metric.name}{_where(where)}[{window}]))"


def _where(matchers: str = "") -> str:
    return f"{{{OURS}, {matchers}}}" if matchers else f"{{{OURS}}}"
