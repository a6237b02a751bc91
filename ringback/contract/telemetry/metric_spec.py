from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ringback.contract.telemetry.service_name import Service


class Kind(StrEnum):
    """Prometheus's names for the types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Open:
    """A label whose values the contract cannot list. There are few of them."""

    means: str


LabelValues = tuple[str, ...] | Open


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricSpec:
    """One family of series: what it measures, and its labels with all possible values.

    The name ends in its unit. `buckets` are the upper bounds of a histogram, without infinity.
    """

    name: str
    kind: Kind
    help: str
    services: tuple[Service, ...]
    labels: Mapping[str, LabelValues] = field(default_factory=dict)
    buckets: tuple[float, ...] | None = None
