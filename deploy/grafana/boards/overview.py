"""Whether all is well, and what needs a person."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.limit import Limit
from deploy.grafana.page import page
from deploy.grafana.panel import (
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Shown,
    bars,
    curves,
    figure,
    rows,
)
from deploy.grafana.promql import quantile, rate, read
from deploy.grafana.query import Ask
from ringback.contract import thresholds
from ringback.contract.telemetry import Metric

FIRING = 'ALERTS{alertstate="firing", alertname=~"Ringback.*"}'


def overview() -> Dashboard:
    return page(
        "ringback-overview",
        "Overview",
        "Whether every accepted webhook is accounted for and finished, and what needs a person.",
        {
            "What needs a person": _for_a_person(),
            "How webhooks end": _endings(),
            "Where they all are": _ledger(),
        },
    )


def success(window: str) -> str:
    """The share of completed webhooks among those that ended."""
    completed = f"sum(increase({Metric.COMPLETED.name}[{window}]))"
    dead = f"sum(increase({Metric.DEAD_LETTERS.name}[{window}]))"
    return f"{completed} / ({completed} + {dead})"


def _for_a_person() -> Iterator[Builder[Panel]]:
    yield figure(
        Shown(
            title="Alerts",
            says="Alerts that fire now. The table below names them.",
            unit=COUNT,
            asks=(Ask(promql=f"count({FIRING}) or vector(0)"),),
            width=4,
            height=4,
            limit=Limit.good_up_to(1),
        )
    )
    yield figure(
        Shown(
            title="Missing from the log",
            runbook="RingbackLedgerGap",
            says="Accepted webhooks without a row in the log. What waits or is in flight may be "
            "among them for a moment; what stays is lost.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.LEDGER_DEFICIT)),),
            width=4,
            height=4,
            limit=Limit.good_up_to(1),
        )
    )
    yield figure(
        Shown(
            title="Dead letters",
            runbook="RingbackDeadLetters",
            says="Webhooks that were given up, and that nobody has retried or discarded.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.DEAD_LETTER_QUEUE_SIZE)),),
            width=4,
            height=4,
            limit=Limit.good_up_to(thresholds.DEAD_LETTERS + 1),
        )
    )
    yield figure(
        Shown(
            title="Oldest unfinished",
            runbook="RingbackOldestTooOld",
            says="At least so long ago was the oldest webhook accepted that is not finished.",
            unit=SECONDS,
            asks=(Ask(promql=read(Metric.OLDEST_AGE)),),
            width=4,
            height=4,
            limit=Limit.good_up_to(thresholds.OLDEST_SECONDS),
        )
    )
    yield figure(
        Shown(
            title="Success, 1 h",
            runbook="RingbackSuccessLow",
            says="Completed webhooks among those that ended in the last hour; the others are "
            "dead letters. Duplicates do not count.",
            unit=RATIO,
            asks=(Ask(promql=success("1h")),),
            width=4,
            height=4,
            limit=Limit.good_from(thresholds.SUCCESS_RATIO),
            decimals=1,
        )
    )
    yield figure(
        Shown(
            title="Processing",
            runbook="RingbackPausedForLong",
            says="Whether a person has paused processing. Webhooks are accepted meanwhile.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.PROCESSING_PAUSED)),),
            width=4,
            height=4,
            words={"0": ("running", "green"), "1": ("paused", "orange")},
        )
    )


def _endings() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="In and out",
            says="Webhooks accepted, completed and given up, and requests refused, per second.",
            unit=PER_SECOND,
            asks=(
                Ask(promql=rate(Metric.ACCEPTED), legend="accepted"),
                Ask(promql=rate(Metric.COMPLETED), legend="completed"),
                Ask(promql=rate(Metric.DEAD_LETTERS), legend="dead letters"),
                Ask(promql=rate(Metric.REFUSED), legend="refused"),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Success",
            says="Completed webhooks among those that ended in the 5 minutes before.",
            unit=RATIO,
            asks=(Ask(promql=success("5m"), legend="success"),),
            width=8,
            limit=Limit.good_from(thresholds.SUCCESS_RATIO),
            most=1,
        )
    )
    yield curves(
        Shown(
            title="From acceptance to end",
            says="How long webhooks take, retries included. The points are traces.",
            unit=SECONDS,
            asks=tuple(
                Ask(
                    promql=quantile(share, Metric.FINISH_DELAY_SECONDS),
                    legend=name,
                    exemplars=True,
                )
                for share, name in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
            ),
            width=8,
            limit=Limit.good_up_to(thresholds.FINISH_SECONDS),
        )
    )


def _ledger() -> Iterator[Builder[Panel]]:
    yield bars(
        Shown(
            title="Webhooks of the last 24 hours",
            says="What became of them, as the log says.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.DELIVERIES, by="status"), legend="{{status}}"),),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="The ledger",
            runbook="RingbackLedgerGap",
            says="Webhooks that gateways of the last 48 hours accepted, and how many of them have "
            "a row in the log. The lines are to lie on each other.",
            unit=COUNT,
            asks=(
                Ask(promql=read(Metric.LEDGER_ACCEPTED), legend="accepted"),
                Ask(
                    promql=f"{read(Metric.LEDGER_ACCEPTED)} - {read(Metric.LEDGER_DEFICIT)}",
                    legend="in the log",
                ),
            ),
            width=8,
        )
    )
    yield rows(
        Shown(
            title="Alerts that fire",
            says="By name and severity; each has a runbook.",
            unit=COUNT,
            asks=(Ask(promql=f"count by (alertname, severity) ({FIRING})", instant=True),),
            width=8,
        )
    )
