"""Whether everything works, and what needs attention."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.page import FIRING, page
from deploy.grafana.panel import (
    BREAKER_STATES,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Bars,
    Curves,
    Figure,
    Limit,
    Rows,
)
from deploy.grafana.query import OF_RULES, PromQuery, increase, quantiles, rate, read, total
from deploy.prometheus.objectives import OBJECTIVES
from ringback.contract import thresholds
from ringback.contract.telemetry import Metric


def success(window: str) -> str:
    """The share of completed webhooks among those that ended."""
    completed, dead = increase(Metric.COMPLETED, window), increase(Metric.DEAD_LETTERS, window)
    return f"{completed} / ({completed} + {dead})"


_ATTENTION: Final = (
    Figure(
        title="Alerts",
        description="Alerts that fire now. The table below lists them.",
        unit=COUNT,
        queries=(PromQuery(f"count({FIRING}) or vector(0)"),),
        width=4,
        height=4,
        limit=Limit.good_up_to(1),
    ),
    Figure(
        title="Missing from the log",
        runbook="RingbackLedgerGap",
        description="Accepted webhooks without a row in the log. Webhooks that wait or are in "
        "flight are counted for a moment; if the number stays, webhooks are lost.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.LEDGER_DEFICIT)),),
        width=4,
        height=4,
        limit=Limit.good_up_to(1),
    ),
    Figure(
        title="Dead letters",
        runbook="RingbackDeadLetters",
        description="Webhooks that failed for good and that nobody has retried or discarded yet. "
        "`ringback dead list` shows them, `ringback dead retry` retries them.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.DEAD_LETTER_QUEUE_SIZE)),),
        width=4,
        height=4,
        limit=Limit.good_up_to(thresholds.DEAD_LETTERS + 1),
    ),
    Figure(
        title="Oldest unfinished",
        runbook="RingbackOldestTooOld",
        description="How long ago the oldest unfinished webhook was accepted, at least.",
        unit=SECONDS,
        queries=(PromQuery(read(Metric.OLDEST_AGE)),),
        width=4,
        height=4,
        limit=Limit.good_up_to(thresholds.OLDEST_SECONDS),
    ),
    Figure(
        title="Success, 1 h",
        runbook="RingbackSuccessLow",
        description="The share of completed webhooks among those that ended in the last hour; the "
        "others are dead letters. Duplicates are not counted.",
        unit=RATIO,
        queries=(PromQuery(success("1h")),),
        width=4,
        height=4,
        limit=Limit.good_from(thresholds.SUCCESS_RATIO),
        decimals=1,
    ),
    Figure(
        title="Processing",
        runbook="RingbackPausedForLong",
        description="Whether processing is paused. Webhooks are still accepted.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.PROCESSING_PAUSED)),),
        width=4,
        height=4,
        value_texts={"0": ("running", "green"), "1": ("paused", "orange")},
    ),
)

_ENDINGS: Final = (
    Curves(
        title="In and out",
        description="Webhooks accepted, completed and dead-lettered, and requests refused, per "
        "second.",
        unit=PER_SECOND,
        queries=(
            PromQuery(rate(Metric.ACCEPTED), "accepted"),
            PromQuery(rate(Metric.COMPLETED), "completed"),
            PromQuery(rate(Metric.DEAD_LETTERS), "dead letters"),
            PromQuery(rate(Metric.REJECTED), "refused"),
        ),
    ),
    Curves(
        title="Success",
        description="The share of completed webhooks among those that ended in the last 5 minutes.",
        unit=RATIO,
        queries=(PromQuery(success("5m"), "success"),),
        limit=Limit.good_from(thresholds.SUCCESS_RATIO),
        maximum=1,
    ),
    Curves(
        title="From acceptance to end",
        description="How long webhooks take, retries included. The points are traces.",
        unit=SECONDS,
        queries=quantiles(Metric.FINISH_DELAY_SECONDS, 0.5, 0.95, 0.99),
        limit=Limit.good_up_to(thresholds.FINISH_SECONDS),
    ),
)


def _of_objectives(series: str) -> tuple[PromQuery, ...]:
    """A recorded series of each objective."""
    return tuple(
        PromQuery(
            f'max({series}{{sloth_id="{one.sloth_id}", {OF_RULES}}})', one.name.replace("-", " ")
        )
        for one in OBJECTIVES
    )


_BUDGETS: Final = (
    *(
        Figure(
            title=f"Budget: {one.name.replace('-', ' ')}",
            runbook=one.alert,
            description=f"{one.promise} This share of the failures allowed in 30 days is left.",
            unit=RATIO,
            queries=(budget,),
            width=4,
            limit=Limit.good_from(0),
            decimals=1,
        )
        for one, budget in zip(
            OBJECTIVES, _of_objectives("slo:period_error_budget_remaining:ratio"), strict=True
        )
    ),
    Curves(
        title="Error budgets",
        description="How much of each 30-day budget is left. Below 0, the objective is missed.",
        unit=RATIO,
        queries=_of_objectives("slo:period_error_budget_remaining:ratio"),
        limit=Limit.good_from(0),
        maximum=1,
    ),
    Curves(
        title="Burn rates",
        description="How fast the budgets are used, over 5 minutes: at 1, a budget lasts for "
        "exactly 30 days.",
        unit=COUNT,
        queries=_of_objectives("slo:current_burn_rate:ratio"),
        limit=Limit.good_up_to(1),
    ),
)

_BREAKERS: Final = (
    Figure(
        title="Broker",
        runbook="RingbackBreakerOpen",
        description="Open while a gateway spools webhooks without trying the broker first.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.BREAKER_OPEN)),),
        width=4,
        value_texts={"0": ("closed", "green"), "1": ("open", "red")},
    ),
    Figure(
        title="Questions without backend",
        runbook="RingbackQuestionBreakerOpen",
        description="Types of questions that get the fallback, because their backend kept failing.",
        unit=COUNT,
        queries=(PromQuery(f"{total(Metric.QUESTION_BREAKER_OPEN)} or vector(0)"),),
        width=4,
        limit=Limit.good_up_to(1),
    ),
    Bars(
        title="Destinations",
        runbook="RingbackDestinationOpen",
        description="The worst state of each destination in any processor. While one is open, "
        "webhooks that need it wait and lose no attempt.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.DESTINATION_STATE, by="destination"), "{{destination}}"),),
        value_texts=BREAKER_STATES,
        maximum=2,
    ),
    Curves(
        title="Waiting for a destination",
        description="Webhooks that wait until a destination works again.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.WAITING, where='reason="destination"'), "waiting"),),
    ),
)

_LEDGER: Final = (
    Bars(
        title="Webhooks of the last 24 hours",
        description="Their status in the log.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.DELIVERIES, by="status"), "{{status}}"),),
    ),
    Curves(
        title="The ledger",
        runbook="RingbackLedgerGap",
        description="Webhooks that the gateways of the last 48 hours accepted, and how many of "
        "them have a row in the log. The two lines should be the same.",
        unit=COUNT,
        queries=(
            PromQuery(read(Metric.LEDGER_ACCEPTED), "accepted"),
            PromQuery(
                f"{read(Metric.LEDGER_ACCEPTED)} - {read(Metric.LEDGER_DEFICIT)}", "in the log"
            ),
        ),
    ),
    Rows(
        title="Firing alerts",
        description="By name and severity; each has a runbook.",
        unit=COUNT,
        queries=(PromQuery(f"count by (alertname, severity) ({FIRING})", instant=True),),
    ),
)


def overview() -> Dashboard:
    return page(
        "ringback-overview",
        "Overview",
        "Whether every accepted webhook is in the log and finished, and what needs attention.",
        {
            "Needs attention": _ATTENTION,
            "How webhooks end": _ENDINGS,
            "Objectives": _BUDGETS,
            "Breakers": _BREAKERS,
            "Where every webhook is": _LEDGER,
        },
    )
