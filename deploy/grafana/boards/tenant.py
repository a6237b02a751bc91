"""One organisation. Prometheus has no organisations, so this queries the database."""

from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel, VariableRefresh

from deploy.grafana.limit import Limit
from deploy.grafana.page import page
from deploy.grafana.panel import COUNT, PER_MINUTE, RATIO, Shown, curves, figure, rows
from deploy.grafana.query import SQL, Select
from deploy.grafana.sources import POSTGRESQL
from ringback.contract import thresholds


def tenant() -> Dashboard:
    made = page(
        "ringback-tenant",
        "Tenant",
        "What became of the webhooks of one organisation, from the delivery log.",
        {"In the time shown": _figures(), "What waits for a person": _dead_letters()},
        refresh="1m",
    )
    return made.with_variable(
        QueryVariable("org")
        .label("Organisation")
        .datasource(POSTGRESQL)
        .query(_text(SQL / "organisations.sql"))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _figures() -> Iterator[Builder[Panel]]:
    yield figure(
        Shown(
            title="Accepted",
            says="Webhooks accepted, without duplicates.",
            unit=COUNT,
            asks=(Select("accepted.sql"),),
            width=6,
            height=4,
        )
    )
    yield figure(
        Shown(
            title="Success",
            says="Completed webhooks among those that ended.",
            unit=RATIO,
            asks=(Select("success.sql"),),
            width=6,
            height=4,
            limit=Limit.good_from(thresholds.SUCCESS_RATIO),
            decimals=1,
        )
    )
    yield figure(
        Shown(
            title="Attempts per webhook",
            says="On average, of those that were tried.",
            unit=COUNT,
            asks=(Select("attempts.sql"),),
            width=6,
            height=4,
            limit=Limit.good_up_to(thresholds.ATTEMPTS),
            decimals=2,
        )
    )
    yield figure(
        Shown(
            title="Dead letters",
            says="Webhooks accepted in this time and given up, retried ones included.",
            unit=COUNT,
            asks=(Select("dead.sql"),),
            width=6,
            height=4,
        )
    )
    yield curves(
        Shown(
            title="Webhooks by outcome",
            says="By the minute in which they were accepted. Minutes are kept for 48 hours.",
            unit=PER_MINUTE,
            asks=(Select("by_minute.sql", over_time=True),),
            width=12,
        )
    )
    yield rows(
        Shown(
            title="By event type",
            says="What became of the webhooks of each type.",
            unit=COUNT,
            asks=(Select("by_event_type.sql"),),
            width=12,
        )
    )


def _dead_letters() -> Iterator[Builder[Panel]]:
    yield rows(
        Shown(
            title="Unresolved dead letters",
            says="The newest of them. `ringback retry JOB` sends one again.",
            unit=COUNT,
            asks=(Select("unresolved.sql"),),
            width=24,
        )
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
