"""The queries of a panel, for Prometheus or PostgreSQL."""

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusBuilder
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.sources import POSTGRESQL, PROMETHEUS

SQL: Final = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One PromQL expression, and the name of its series in the legend.

    `exemplars` shows the traces behind a histogram; `instant` queries only the end of the range.
    """

    promql: str
    legend: str = ""
    exemplars: bool = False
    instant: bool = False

    @property
    def source(self) -> DataSourceRef:
        return PROMETHEUS

    def target(self, place: int) -> Builder[Dataquery]:
        asked = (
            PrometheusBuilder()
            .expr(self.promql)
            .ref_id(ascii_uppercase[place])
            .format(self._format)
        )
        asked = asked.legend_format(self.legend).exemplar(self.exemplars)
        return asked.instant() if self.instant else asked.range()

    @property
    def _format(self) -> PromQueryFormat:
        return PromQueryFormat.TABLE if self.instant else PromQueryFormat.TIME_SERIES


@dataclass(frozen=True, slots=True)
class Select:
    """One file of `sql/`; its rows are a table, or with `over_time` series by the column `time`."""

    file: str
    over_time: bool = False

    @property
    def source(self) -> DataSourceRef:
        return POSTGRESQL

    def target(self, place: int) -> Builder[Dataquery]:
        return _Target(
            {
                "datasource": POSTGRESQL.to_json(),
                "editorMode": "code",
                "format": "time_series" if self.over_time else "table",
                "rawQuery": True,
                "rawSql": (SQL / self.file).read_text(encoding="utf-8"),
                "refId": ascii_uppercase[place],
            }
        )


Query = Ask | Select


class _SqlQuery(Dataquery):
    """The library has no query type for PostgreSQL."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document

    def to_json(self) -> dict[str, object]:
        return self._document


class _Target(Builder[Dataquery]):
    def __init__(self, document: dict[str, object]) -> None:
        self._document = document

    def build(self) -> Dataquery:
        return _SqlQuery(self._document)
