from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ringback.contract.telemetry.service_name import Service


class Kind(StrEnum):
    """The words are those of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Open:
    """What the values of a label are, where the contract cannot list them. They are few."""

    means: str


LabelValues = tuple[str, ...] | Open


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricSpec:
    """One family of series: what it measures, its labels with all values they may take.

    The name ends in its unit. `buckets` are the upper bounds of a histogram, without the infinite.
    """

    name: str
    kind: Kind
    help: str
    services: tuple[Service, ...]
    labels: Mapping[str, LabelValues] = field(default_factory=dict)
    buckets: tuple[float, ...] | None = None
