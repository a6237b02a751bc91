"""The settings of the processor."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from ringback.runtime.endpoints.document import FILE_SETTING
from ringback.runtime.endpoints.forwards import read_forwards
from ringback.runtime.endpoints.secret_sources import Sources
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


def _endpoints_file(value: Path) -> Path:
    read_forwards(value, Sources(with_signing_secrets=True))
    return value


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
    endpoints_file: Annotated[Path, AfterValidator(_endpoints_file)] | None = Field(
        default=None, description=FILE_SETTING
    )
    processor_observability_port: int = Field(
        default=9102, ge=0, le=65535, description="Port of the processor's /metrics and health."
    )
    prefetch: int = Field(
        default=5,
        ge=1,
        le=500,
        description="How many unfinished webhooks the broker sends to a process: at most this many "
        "first attempts, as many due retries, and as many of orgs above their rate.",
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
    release_per_s: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many webhooks a second each processor releases to a destination that is "
        "available again. It begins with ten, and doubles that each second.",
    )
    order_gap_s: float = Field(
        default=600.0,
        ge=1,
        le=86400,
        description="How many seconds the later webhooks of a call wait for an ordered one that no "
        "processor sees. Then they run without it. At least a minute more than the timeout of an "
        "attempt.",
    )
    order_max_parked: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="How many webhooks of a call wait for an ordered one that failed. If there are "
        "more, they run without it.",
    )
    housekeeping: bool = Field(
        default=True,
        description="Whether this process creates and drops the day partitions (else: a cron job "
        "with `ringback housekeeping`).",
    )
