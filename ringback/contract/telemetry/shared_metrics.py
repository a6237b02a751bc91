"""What more than one service measures, each for itself."""

from typing import Final

from ringback.contract.telemetry.metric_spec import Kind, MetricSpec
from ringback.contract.telemetry.service_name import Service


class SharedMetric:
    BROKER_LINK_UP: Final = MetricSpec(
        name="broker_link_up",
        kind=Kind.GAUGE,
        help="1 while the broker is connected and, at the gateway, takes messages; else 0.",
        services=(Service.GATEWAY, Service.METRICS),
    )
