"""Expressions that many panels need, from declared metrics."""

from ringback.contract.telemetry.spec import MetricSpec

WINDOW = "$__rate_interval"


def rate(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    """Events per second, over all replicas."""
    return f"sum{_by(by)}(rate({metric.name}{_where(where)}[{WINDOW}]))"


def per_minute(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    return f"60 * {rate(metric, by=by, where=where)}"


def quantile(share: float, metric: MetricSpec, *, by: str = "") -> str:
    """The seconds within which this share of a histogram is."""
    labels = f"le, {by}" if by else "le"
    buckets = f"sum by ({labels}) (rate({metric.name}_bucket[{WINDOW}]))"
    return f"histogram_quantile({share}, {buckets})"


def read(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    """A gauge of which each replica exports the same reading: `max` counts it once."""
    return f"max{_by(by)}({metric.name}{_where(where)})"


def added(metric: MetricSpec, *, by: str = "", where: str = "") -> str:
    """A gauge of which each replica exports its own part."""
    return f"sum{_by(by)}({metric.name}{_where(where)})"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
