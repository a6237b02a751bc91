"""The settings of the processor."""

from pydantic import Field

from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    LogSettings,
    ManagementSettings,
    ObservabilitySettings,
    RedactionSettings,
    RetentionSettings,
    TraceSettings,
)


class ProcessorSettings(
    BrokerSettings,
    DatabaseSettings,
    ObservabilitySettings,
    LogSettings,
    ManagementSettings,
    RedactionSettings,
    RetentionSettings,
    TraceSettings,
):
    processor_observability_port: int = Field(
        default=9102, ge=0, le=65535, description="Port of the processor's /metrics and health."
    )
    prefetch: int = Field(
        default=5,
        ge=1,
        le=500,
        description="How many unfinished webhooks the broker sends to a process: at most this many "
        "first attempts, and as many due retries.",
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=500,
        description="Maximum number of webhooks whose handlers run at once in a process; the "
        "prefetch by default. Other received webhooks wait in memory for their turn or commit.",
    )
    handlers: str = Field(
        default="", description="Modules with your handlers, comma separated: package.module,…"
    )
    voice_calls: bool = Field(
        default=True, description="Whether the built-in handler keeps the table voice_calls."
    )
    attempt_timeout_s: float = Field(
        default=30.0, gt=0, le=1500, description="Seconds after which an attempt is cancelled."
    )
    drain_timeout_s: float = Field(
        default=25.0,
        ge=0,
        le=86400,
        description="Seconds to finish the work in flight after a stop signal.",
    )
    database_wait_s: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="Seconds to wait for an unavailable database before webhooks are requeued.",
    )
    housekeeping: bool = Field(
        default=True,
        description="Whether this process creates and drops the day partitions (else: a cron job "
        "with `ringback housekeeping`).",
    )
