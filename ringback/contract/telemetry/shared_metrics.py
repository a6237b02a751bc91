"""What more than one service measures, each for itself."""

from typing import Final

from ringback.contract.telemetry.metric_spec import Kind, MetricSpec, Open
from ringback.contract.telemetry.service_name import EVERY_SERVICE


class SharedMetric:
    BROKER_LINK_UP: Final = MetricSpec(
        name="ringback_broker_connected",
        kind=Kind.GAUGE,
        help="1 while the broker is connected and takes what the service publishes; else 0. The "
        "metrics service asks for the first alone.",
        services=EVERY_SERVICE,
    )
    POOL_CONNECTIONS: Final = MetricSpec(
        name="ringback_database_pool_connections",
        kind=Kind.GAUGE,
        help="Open connections to the database.",
        services=EVERY_SERVICE,
        labels={"state": ("idle", "used")},
    )
    POOL_MAX_CONNECTIONS: Final = MetricSpec(
        name="ringback_database_pool_max_connections",
        kind=Kind.GAUGE,
        help="How many connections to the database may be open at most.",
        services=EVERY_SERVICE,
    )
    POOL_WAIT_SECONDS: Final = MetricSpec(
        name="ringback_database_pool_wait_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds until a connection was there, or was not to be had.",
        services=EVERY_SERVICE,
        buckets=(0.0001, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    BUILD_INFO: Final = MetricSpec(
        name="ringback_build_info",
        kind=Kind.GAUGE,
        help="Always 1; what runs, and in which version.",
        services=EVERY_SERVICE,
        labels={
            "version": Open("the version of Ringback"),
            "service": Open("the service itself"),
        },
    )
