from pydantic import Field

from ringback.runtime.settings import (
    BrokerSettings,
    DatabaseSettings,
    ExpositionSettings,
    LogSettings,
)


class MetricsSettings(BrokerSettings, DatabaseSettings, ExpositionSettings, LogSettings):
    metrics_host: str = Field(
        default="0.0.0.0",  # ruff: ignore[hardcoded-bind-all-interfaces]  # its callers are services elsewhere
        description="Where the metrics service listens for its callers. Not for the public.",
    )
    metrics_grpc_port: int = Field(
        default=50051, ge=1, le=65535, description="The port for gRPC calls."
    )
    metrics_exposition_port: int = Field(
        default=9103, ge=0, le=65535, description="Port of the metrics service's /metrics."
    )
    metrics_interval_s: float = Field(
        default=5.0,
        ge=0.1,
        le=300,
        description="Seconds between two readings of the queues and of the dead letters.",
    )
    metrics_drain_timeout_s: float = Field(
        default=5.0, gt=0, description="Seconds to finish the calls in hand when told to stop."
    )
