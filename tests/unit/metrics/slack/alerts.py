"""Groups of dead letters to try decisions and messages on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from ringback.services.metrics.slack.alert_log import AlertGroup, StoppedForward

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ORG = UUID("01a20ae5-0000-7000-8000-00000000000a")
JOB = UUID("01a20ae5-0000-7000-8000-0000000000ff")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def group(
    *,
    unsent: int = 1,
    unsent_for_s: float | None = 15,
    sent: int = 0,
    sent_before_s: float | None = None,
    last_before_s: float = 0,
    event_type: str = "hang",
    error_class: str = "TimeoutError",
) -> AlertGroup:
    return AlertGroup(
        org_id=ORG,
        event_type=event_type,
        error_class=error_class,
        unsent=unsent,
        sent=sent,
        example=JOB,
        opened_at=ago(900),
        unsent_since=None if unsent_for_s is None else ago(unsent_for_s),
        last_at=ago(last_before_s),
        sent_at=None if sent_before_s is None else ago(sent_before_s),
    )


def stopped(name: str = "crm", error: str = "The receiver answered with 503.") -> StoppedForward:
    return StoppedForward(
        destination=f"forward.acme.{name}",
        org_id=ORG,
        endpoint_id="acme",
        forward=name,
        failing_since=ago(5 * 86_400),
        last_error=error,
        stopped_at=ago(2),
    )


def quiet_for(seconds: float, *, sent: int = 3) -> AlertGroup:
    return group(
        unsent=0, unsent_for_s=None, sent=sent, sent_before_s=seconds, last_before_s=seconds
    )
