"""The queues as rows with bars, and what processes and waits, in words."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.metrics.v1.delivery_pb2 import ProcessingState, Wait, WaitReason
from ringback.metrics.v1.metrics_service_pb2 import QueueDepth, WaitCount

FULL_BAR = 100_000
"""Messages; more make no longer bar."""

#: In the order in which a webhook may pass them.
_PURPOSES = {
    WORK_QUEUE: "first attempts",
    BULK_QUEUE: "first attempts above an org's rate",
    REQUEUED_QUEUE: "wait a moment, without an attempt",
    DUE_QUEUE: "retries that are due",
    QUARANTINE_QUEUE: "may crash a processor",
    DEAD_LETTER_QUEUE: "dead letters to record",
}
_ORDER = {name: index for index, name in enumerate(_PURPOSES)}
_RETRY_ORDER = _ORDER[REQUEUED_QUEUE]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """`bar` is its length from 0 to 100, by the logarithm of the number of messages."""

    name: str
    purpose: str
    messages: int
    unacknowledged: int | None
    bar: float


def queue_rows(depths: Iterable[QueueDepth]) -> list[QueueRow]:
    return [
        QueueRow(
            name=depth.queue,
            purpose=_PURPOSES.get(depth.queue, "wait for the next attempt"),
            messages=depth.messages,
            unacknowledged=depth.unacknowledged if depth.HasField("unacknowledged") else None,
            bar=_bar(depth.messages),
        )
        for depth in sorted(
            depths, key=lambda depth: (_ORDER.get(depth.queue, _RETRY_ORDER), depth.queue)
        )
    ]


def _bar(messages: int) -> float:
    return round(min(100.0, 100 * math.log10(1 + messages) / math.log10(1 + FULL_BAR)), 1)


def processing_state(processing: ProcessingState) -> str:
    """`paused` by a person, `running`, or `stopped` because there is no processor."""
    if processing.paused:
        return "paused"
    return "running" if processing.processors else "stopped"


def processors(processing: ProcessingState) -> str:
    """How many processors there are, or what follows from their absence."""
    if not processing.processors:
        return "No processor runs: accepted webhooks wait."
    count = f"{processing.processors} processor{'' if processing.processors == 1 else 's'}"
    if processing.paused:
        return f"{processing.processors_paused} of {count} stopped consuming."
    return f"{count}."


_ALL_WAIT_FOR = {
    WaitReason.WAIT_REASON_RETRY: "a later attempt",
    WaitReason.WAIT_REASON_DESTINATION: "a destination",
    WaitReason.WAIT_REASON_ORDER: "earlier webhooks of their call",
    WaitReason.WAIT_REASON_FORWARD: "being forwarded",
    WaitReason.WAIT_REASON_CANCELLED: "being cancelled",
}


def waits_for(wait: Wait | WaitCount) -> str:
    """What a webhook, or all those with one reason, wait for."""
    if isinstance(wait, Wait):
        match wait.reason:
            case WaitReason.WAIT_REASON_RETRY:
                return f"attempt {wait.attempt}"
            case WaitReason.WAIT_REASON_DESTINATION:
                return f"{wait.destination} to be available"
            case WaitReason.WAIT_REASON_ORDER:
                return "earlier webhooks of its call"
    return _ALL_WAIT_FOR.get(wait.reason, "an unknown reason")
