"""Groups of dead letters to try decisions and messages on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.metrics.slack.alert_group import AlertGroup

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ORG = UUID("01a20ae5-0000-7000-8000-00000000000a")
JOB = UUID("01a20ae5-0000-7000-8000-0000000000ff")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def group(
    *,
    untold: int = 1,
    untold_for_s: float | None = 15,
    told: int = 0,
    told_before_s: float | None = None,
    last_before_s: float = 0,
    event_type: str = "hang",
    error_class: str = "TimeoutError",
) -> AlertGroup:
    return AlertGroup(
        org_id=ORG,
        event_type=event_type,
        error_class=error_class,
        untold=untold,
        told=told,
        example=JOB,
        opened_at=ago(900),
        untold_since=None if untold_for_s is None else ago(untold_for_s),
        last_at=ago(last_before_s),
        told_at=None if told_before_s is None else ago(told_before_s),
    )


def quiet_for(seconds: float, *, told: int = 3) -> AlertGroup:
    return group(
        untold=0, untold_for_s=None, told=told, told_before_s=seconds, last_before_s=seconds
    )
