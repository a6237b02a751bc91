"""One organisation. Prometheus has no organisations, so this queries the database."""

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableRefresh

from deploy.grafana.page import page
from deploy.grafana.panel import COUNT, PER_MINUTE, RATIO, Curves, Figure, Limit, Rows
from deploy.grafana.query import POSTGRESQL, SQL, SqlQuery
from ringback.contract import thresholds


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


_FIGURES: Final = (
    Figure(
        title="Accepted",
        description="Webhooks accepted, without duplicates.",
        unit=COUNT,
        queries=(SqlQuery("accepted.sql"),),
        width=6,
        height=4,
    ),
    Figure(
        title="Success",
        description="The share of completed webhooks among those that ended.",
        unit=RATIO,
        queries=(SqlQuery("success.sql"),),
        width=6,
        height=4,
        limit=Limit.good_from(thresholds.SUCCESS_RATIO),
        decimals=1,
    ),
    Figure(
        title="Attempts per webhook",
        description="The average of the webhooks that were tried.",
        unit=COUNT,
        queries=(SqlQuery("attempts.sql"),),
        width=6,
        height=4,
        limit=Limit.good_up_to(thresholds.ATTEMPTS),
        decimals=2,
    ),
    Figure(
        title="Dead letters",
        description="Webhooks accepted in this time that became dead letters, including retried "
        "ones.",
        unit=COUNT,
        queries=(SqlQuery("dead.sql"),),
        width=6,
        height=4,
    ),
    Curves(
        title="Webhooks by outcome",
        description="By the minute in which they were accepted. Minutes are kept for 48 hours.",
        unit=PER_MINUTE,
        queries=(SqlQuery("by_minute.sql", over_time=True),),
        width=12,
    ),
    Rows(
        title="By event type",
        description="The webhooks of each type, by outcome.",
        unit=COUNT,
        queries=(SqlQuery("by_event_type.sql"),),
        width=12,
    ),
)

_DEAD_LETTERS: Final = (
    Rows(
        title="Unresolved dead letters",
        description="The newest dead letters. `ringback dead retry JOB` retries one.",
        unit=COUNT,
        queries=(SqlQuery("unresolved.sql"),),
        width=24,
    ),
)


def tenant() -> Dashboard:
    board = page(
        "ringback-tenant",
        "Tenant",
        "The webhooks of one organisation, from the delivery log.",
        {"In the time shown": _FIGURES, "Needs attention": _DEAD_LETTERS},
        refresh="1m",
    )
    return board.with_variable(
        QueryVariable("org")
        .label("Organisation")
        .datasource(POSTGRESQL)
        .query(_text(SQL / "organisations.sql"))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
