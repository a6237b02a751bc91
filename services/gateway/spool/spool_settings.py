from pathlib import Path

from pydantic import Field

from ringback.runtime.settings import Settings

_MIB = 1024 * 1024


class SpoolSettings(Settings):
    """Where webhooks wait while the broker cannot confirm them, and how many may."""

    spool_dir: Path | None = Field(
        default=None,
        description="A folder on a disk that outlives the gateway, for it alone: webhooks that the "
        "broker cannot confirm are kept there until it can. Without it they are refused.",
    )
    spool_bytes: int = Field(
        default=1024 * _MIB, ge=_MIB, description="Bytes that the spool takes at most."
    )
    spool_free_bytes: int = Field(
        default=256 * _MIB, ge=0, description="Bytes that the spool leaves free on its disk."
    )
    spool_after_s: float = Field(
        default=0.4,
        gt=0,
        le=86400,
        description="Seconds without the broker's confirm after which a webhook is spooled.",
    )
    spool_timeout_s: float = Field(
        default=2.0,
        gt=0,
        le=86400,
        description="Seconds in which the spool must have a webhook on its disk.",
    )
    spool_drain_per_s: int = Field(
        default=400,
        ge=1,
        description="Spooled webhooks published a second at most, once the broker confirms again.",
    )
