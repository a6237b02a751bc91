"""What waits where, what is retried, and why webhooks become dead letters."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.limit import Limit
from deploy.grafana.page import page
from deploy.grafana.panel import COUNT, PER_MINUTE, SECONDS, Shown, bars, curves
from deploy.grafana.promql import added, per_minute, quantile, read
from deploy.grafana.query import Ask
from ringback.contract import thresholds
from ringback.contract.telemetry import Metric
from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE

_WAITING = f'queue=~"{WORK_QUEUE}|{QUARANTINE_QUEUE}"'
_TAKEN = f'queue=~"{WORK_QUEUE}|{QUARANTINE_QUEUE}|{DEAD_LETTER_QUEUE}"'
_RETRY_QUEUES = 'queue=~"webhooks.retry.*"'


def queues() -> Dashboard:
    return page(
        "ringback-queues",
        "Queues and retries",
        "What waits in each queue and retry queue, what is tried again, and what is given up.",
        {
            "Waiting": _waiting(),
            "Trying again": _retries(),
            "Time": _times(),
            "Out of the ordinary": _rare(),
        },
    )


def _waiting() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Ready to be processed",
            runbook="RingbackBacklog",
            says="Webhooks that no processor has taken yet.",
            unit=COUNT,
            asks=(
                Ask(
                    promql=read(Metric.QUEUE_MESSAGES, by="queue", where=_WAITING),
                    legend="{{queue}}",
                ),
            ),
            width=8,
            limit=Limit.good_up_to(thresholds.WAITING),
        )
    )
    yield curves(
        Shown(
            title="Waiting for the next attempt",
            says="Webhooks on each retry queue of the retry schedule, until their delay ends.",
            unit=COUNT,
            asks=(
                Ask(
                    promql=read(Metric.QUEUE_MESSAGES, by="queue", where=_RETRY_QUEUES),
                    legend="{{queue}}",
                ),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Oldest unfinished",
            runbook="RingbackOldestTooOld",
            says="Since the acceptance of the oldest webhook that no attempt was made for, and of "
            "the oldest that waits for its next one.",
            unit=SECONDS,
            asks=(Ask(promql=read(Metric.OLDEST_AGE, by="status"), legend="{{status}}"),),
            width=8,
            limit=Limit.good_up_to(thresholds.OLDEST_SECONDS),
        )
    )
    yield bars(
        Shown(
            title="Ready now, by queue",
            says="Messages ready in every queue; those of the DLQ are to be recorded.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.QUEUE_MESSAGES, by="queue"), legend="{{queue}}"),),
            width=8,
        )
    )
    yield bars(
        Shown(
            title="Consumers",
            runbook="RingbackNoConsumer",
            says="Who takes from a queue. Without one, what arrives there waits.",
            unit=COUNT,
            asks=(
                Ask(
                    promql=read(Metric.QUEUE_CONSUMERS, by="queue", where=_TAKEN),
                    legend="{{queue}}",
                ),
            ),
            width=8,
            limit=Limit.good_from(1),
        )
    )
    yield curves(
        Shown(
            title="In hand",
            says="Attempts being made at this moment, by all processors.",
            unit=COUNT,
            asks=(Ask(promql=added(Metric.IN_FLIGHT), legend="attempts"),),
            width=8,
        )
    )


def _retries() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Retries scheduled",
            says="Webhooks sent to a retry queue, per minute, by the attempt that failed.",
            unit=PER_MINUTE,
            asks=(
                Ask(
                    promql=per_minute(Metric.RETRIES_SCHEDULED, by="attempt"),
                    legend="after attempt {{attempt}}",
                ),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Attempts by outcome",
            says="Attempts that ended, per minute. A failed one is repeated after its delay.",
            unit=PER_MINUTE,
            asks=(Ask(promql=per_minute(Metric.ATTEMPTS, by="outcome"), legend="{{outcome}}"),),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Attempts per webhook",
            runbook="RingbackAttemptsHigh",
            says="On average, of those that ended in the 5 minutes before.",
            unit=COUNT,
            asks=(Ask(promql=_attempts_each("5m"), legend="attempts"),),
            width=8,
            limit=Limit.good_up_to(thresholds.ATTEMPTS),
        )
    )


def _times() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Time of an attempt",
            says="From taking a webhook in flight to its commit. The points are traces.",
            unit=SECONDS,
            asks=tuple(
                Ask(
                    promql=quantile(share, Metric.PROCESSING_SECONDS),
                    legend=name,
                    exemplars=True,
                )
                for share, name in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Wait for the first attempt",
            says="From acceptance to the first attempt. The points are traces.",
            unit=SECONDS,
            asks=tuple(
                Ask(
                    promql=quantile(share, Metric.FIRST_ATTEMPT_DELAY_SECONDS),
                    legend=name,
                    exemplars=True,
                )
                for share, name in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
            ),
            width=8,
        )
    )
    slowest = quantile(0.95, Metric.HANDLER_SECONDS, by="event_type")
    yield bars(
        Shown(
            title="Slowest handlers",
            says="Seconds in the handlers of an event type: 95 of 100 attempts are faster.",
            unit=SECONDS,
            asks=(
                Ask(
                    promql=f"topk(6, {slowest} > 0)",
                    legend="{{event_type}}",
                ),
            ),
            width=8,
        )
    )


def _rare() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Dead letters by reason",
            runbook="RingbackDeadLetters",
            says="Webhooks given up, per minute. A process crash or an undeliverable message is "
            "never the fault of a handler.",
            unit=PER_MINUTE,
            asks=(Ask(promql=per_minute(Metric.DEAD_LETTERS, by="reason"), legend="{{reason}}"),),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Redelivered and duplicate",
            says="Per minute: webhooks whose event had arrived before; messages that a processor "
            "left unanswered, those repeated from the log, and those set aside to be run alone.",
            unit=PER_MINUTE,
            asks=(
                Ask(promql=per_minute(Metric.DUPLICATES), legend="duplicates"),
                Ask(promql=per_minute(Metric.REDELIVERED), legend="redelivered"),
                Ask(promql=per_minute(Metric.REPEATED), legend="repeated"),
                Ask(promql=per_minute(Metric.QUARANTINED), legend="quarantined"),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Retries by people",
            says="Dead letters that a person sent again, per minute, by whether the broker is "
            "known to have them.",
            unit=PER_MINUTE,
            asks=(Ask(promql=per_minute(Metric.RETRIES, by="outcome"), legend="{{outcome}}"),),
            width=8,
        )
    )


def _attempts_each(window: str) -> str:
    attempts = f'sum(increase({Metric.ATTEMPTS.name}{{outcome!="duplicate"}}[{window}]))'
    ended = " + ".join(
        f"sum(increase({one.name}[{window}]))" for one in (Metric.COMPLETED, Metric.DEAD_LETTERS)
    )
    return f"{attempts} / ({ended})"
