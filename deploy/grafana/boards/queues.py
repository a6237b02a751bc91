"""What waits where, what is retried, and why webhooks become dead letters."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.page import page
from deploy.grafana.panel import BREAKER_STATES, COUNT, PER_MINUTE, SECONDS, Bars, Curves, Limit
from deploy.grafana.query import PromQuery, increase, per_minute, quantile, quantiles, read, total
from ringback.contract import thresholds
from ringback.contract.telemetry import Metric
from ringback.contract.topology import ATTEMPT_QUEUES, DEAD_LETTER_QUEUE

_WAITING_QUEUES = f'queue=~"{"|".join(ATTEMPT_QUEUES)}"'
_CONSUMED_QUEUES = f'queue=~"{"|".join((*ATTEMPT_QUEUES, DEAD_LETTER_QUEUE))}"'
_RETRY_QUEUES = 'queue=~"webhooks.retry.*"'


def _attempts_each(window: str) -> str:
    attempts = increase(Metric.ATTEMPTS, window, where='outcome!="duplicate"')
    ended = " + ".join(increase(one, window) for one in (Metric.COMPLETED, Metric.DEAD_LETTERS))
    return f"{attempts} / ({ended})"


_WAITING: Final = (
    Curves(
        title="Ready to be processed",
        runbook="RingbackBacklog",
        description="Webhooks that no processor has received yet.",
        unit=COUNT,
        queries=(
            PromQuery(read(Metric.QUEUE_MESSAGES, by="queue", where=_WAITING_QUEUES), "{{queue}}"),
        ),
        limit=Limit.good_up_to(thresholds.WAITING),
    ),
    Curves(
        title="Organisations above their rate",
        description="Webhooks of organisations that send more than RINGBACK_ORG_RATE_PER_S, per "
        "minute; they wait in webhooks.bulk. And webhooks that were parked because their "
        "organisation has its share of the handlers and returns none.",
        unit=PER_MINUTE,
        queries=(
            PromQuery(per_minute(Metric.BULK), "above the rate"),
            PromQuery(per_minute(Metric.PARKED, by="queue"), "parked in {{queue}}"),
        ),
    ),
    Curves(
        title="Waiting for the next attempt",
        description="Webhooks in each retry queue. They stay until its delay ends.",
        unit=COUNT,
        queries=(
            PromQuery(read(Metric.QUEUE_MESSAGES, by="queue", where=_RETRY_QUEUES), "{{queue}}"),
        ),
    ),
    Curves(
        title="Oldest unfinished",
        runbook="RingbackOldestTooOld",
        description="The age of the oldest webhook without an attempt, and of the oldest that "
        "waits for its next attempt.",
        unit=SECONDS,
        queries=(PromQuery(read(Metric.OLDEST_AGE, by="status"), "{{status}}"),),
        limit=Limit.good_up_to(thresholds.OLDEST_SECONDS),
    ),
    Curves(
        title="Waiting in the database",
        description="Webhooks that wait for a long retry, a destination or their turn, by reason.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.WAITING, by="reason"), "{{reason}}"),),
    ),
    Curves(
        title="Overdue in the database",
        runbook="RingbackWaitsOverdue",
        description="Since when the oldest is due, by reason. Those that wait for a destination "
        "may be late, because its breaker and its pace come first.",
        unit=SECONDS,
        queries=(PromQuery(read(Metric.WAIT_OVERDUE, by="reason"), "{{reason}}"),),
        limit=Limit.good_up_to(thresholds.WAIT_OVERDUE_SECONDS),
    ),
    Bars(
        title="Ready now, by queue",
        description="Messages ready in every queue. Those in the dead-letter queue wait to be "
        "recorded.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.QUEUE_MESSAGES, by="queue"), "{{queue}}"),),
    ),
    Bars(
        title="Consumers",
        runbook="RingbackNoConsumer",
        description="Consumers of each queue. Without one, its messages wait.",
        unit=COUNT,
        queries=(
            PromQuery(
                read(Metric.QUEUE_CONSUMERS, by="queue", where=_CONSUMED_QUEUES), "{{queue}}"
            ),
        ),
        limit=Limit.good_from(1),
    ),
    Curves(
        title="In flight",
        description="Attempts that run, wait for a slot or wait for their commit.",
        unit=COUNT,
        queries=(PromQuery(total(Metric.IN_FLIGHT), "attempts"),),
    ),
)

_RETRIES: Final = (
    Curves(
        title="Retries scheduled",
        description="Webhooks sent to a retry queue, per minute, by the attempt that failed.",
        unit=PER_MINUTE,
        queries=(
            PromQuery(
                per_minute(Metric.RETRIES_SCHEDULED, by="attempt"), "after attempt {{attempt}}"
            ),
        ),
    ),
    Curves(
        title="Attempts by outcome",
        description="Attempts that ended, per minute. A failed attempt is retried after a delay.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.ATTEMPTS, by="outcome"), "{{outcome}}"),),
    ),
    Curves(
        title="Attempts per webhook",
        runbook="RingbackAttemptsHigh",
        description="The average of the webhooks that ended in the last 5 minutes.",
        unit=COUNT,
        queries=(PromQuery(_attempts_each("5m"), "attempts"),),
        limit=Limit.good_up_to(thresholds.ATTEMPTS),
    ),
)

_SLOWEST_HANDLERS = quantile(0.95, Metric.HANDLER_SECONDS, by="event_type")
_TIMES: Final = (
    Curves(
        title="Time of an attempt",
        description="From receiving a webhook to its commit. The points are traces.",
        unit=SECONDS,
        queries=quantiles(Metric.PROCESSING_SECONDS, 0.5, 0.95, 0.99),
    ),
    Curves(
        title="Wait for the first attempt",
        description="From acceptance to the first attempt. The points are traces.",
        unit=SECONDS,
        queries=quantiles(Metric.FIRST_ATTEMPT_DELAY_SECONDS, 0.5, 0.95, 0.99),
    ),
    Bars(
        title="Slowest handlers",
        description="Seconds in the handlers, by event type: 95 of 100 attempts are faster.",
        unit=SECONDS,
        queries=(PromQuery(f"topk(6, {_SLOWEST_HANDLERS} > 0)", "{{event_type}}"),),
    ),
)

_DESTINATIONS: Final = (
    Curves(
        title="Breakers",
        runbook="RingbackDestinationOpen",
        description="The worst state of a destination in any processor. While a breaker is open, "
        "webhooks that need the destination wait.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.DESTINATION_STATE, by="destination"), "{{destination}}"),),
        width=6,
        limit=Limit.good_up_to(1),
        value_texts=BREAKER_STATES,
        maximum=2,
    ),
    Curves(
        title="Changes of breakers",
        runbook="RingbackDestinationFlapping",
        description="How often the breakers of a destination opened or closed, per minute.",
        unit=PER_MINUTE,
        queries=(
            PromQuery(
                per_minute(Metric.DESTINATION_TRANSITIONS, by="destination, state"),
                "{{destination}} {{state}}",
            ),
        ),
        width=6,
    ),
    Curves(
        title="Calls that were not made",
        description="Per minute, because the breaker was open or too many calls were in flight.",
        unit=PER_MINUTE,
        queries=(
            PromQuery(
                per_minute(Metric.DESTINATION_REFUSED, by="destination, reason"),
                "{{destination}} {{reason}}",
            ),
        ),
        width=6,
    ),
    Curves(
        title="Time of a call",
        description="Calls of handlers to a destination: 95 of 100 are faster.",
        unit=SECONDS,
        queries=(
            PromQuery(
                quantile(0.95, Metric.DESTINATION_SECONDS, by="destination"), "{{destination}}"
            ),
        ),
        width=6,
    ),
)

_TURNS: Final = (
    Curves(
        title="Order stopped",
        runbook="RingbackOrderStopped",
        description="The age of the oldest turn behind which webhooks of the same call are parked. "
        "Handlers declared with `ordered_by` give turns.",
        unit=SECONDS,
        queries=(PromQuery(read(Metric.ORDER_STOPPED_SECONDS), "oldest turn"),),
        width=12,
        limit=Limit.good_up_to(thresholds.ORDER_STOPPED_SECONDS),
    ),
    Curves(
        title="Turns passed",
        description="Webhooks per minute that kept later ones waiting for too long. Those run "
        "without them, and they run late.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.ORDER_PASSED), "passed"),),
        width=12,
    ),
)

_RARE: Final = (
    Curves(
        title="Dead letters by reason",
        runbook="RingbackDeadLetters",
        description="New dead letters per minute. Process crashes and undeliverable messages are "
        "never raised by a handler.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.DEAD_LETTERS, by="reason"), "{{reason}}"),),
    ),
    Curves(
        title="Redelivered and duplicate",
        description="Per minute: webhooks whose event had arrived before; messages delivered "
        "again; those whose recorded result was repeated; and quarantined ones.",
        unit=PER_MINUTE,
        queries=(
            PromQuery(per_minute(Metric.DUPLICATES), "duplicates"),
            PromQuery(per_minute(Metric.REDELIVERED), "redelivered"),
            PromQuery(per_minute(Metric.REPEATED), "repeated"),
            PromQuery(per_minute(Metric.QUARANTINED), "quarantined"),
        ),
    ),
    Curves(
        title="Manual retries",
        description="Dead letters that someone retried, for instance by `ringback dead retry`, per "
        "minute, by whether the broker has confirmed them.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.RETRIES, by="outcome"), "{{outcome}}"),),
    ),
)


def queues() -> Dashboard:
    return page(
        "ringback-queues",
        "Queues and retries",
        "What waits in each queue, what is retried, and what becomes a dead letter.",
        {
            "Waiting": _WAITING,
            "Retries": _RETRIES,
            "Time": _TIMES,
            "Destinations": _DESTINATIONS,
            "Order of a call": _TURNS,
            "Unusual": _RARE,
        },
    )
