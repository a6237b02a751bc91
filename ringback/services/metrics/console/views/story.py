"""What happened to a webhook, as a list of steps, and why it is waiting."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import (
    Answer,
    Attempt,
    AttemptOutcome,
    Change,
    ChangeAction,
    Delivery,
    DeliveryStatus,
    Resolution,
    Retry,
    WaitReason,
)
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryResponse, GetQueueHealthResponse
from ringback.services.metrics.console.views.text import in_one_line

_ATTEMPT_WORDS = {
    AttemptOutcome.ATTEMPT_OUTCOME_COMPLETED: "completed it",
    AttemptOutcome.ATTEMPT_OUTCOME_FAILED: "failed",
    AttemptOutcome.ATTEMPT_OUTCOME_PERMANENT: "failed for good: its handler wants no other attempt",
    AttemptOutcome.ATTEMPT_OUTCOME_DUPLICATE: "found a duplicate and ran nothing",
}
_CHANGE_WORDS = {
    ChangeAction.CHANGE_ACTION_DISCARD: "Discarded",
    ChangeAction.CHANGE_ACTION_RELEASE_WAIT: "Its next attempt was made due",
    ChangeAction.CHANGE_ACTION_CANCEL_WAIT: "Cancelled while it waited",
}
_MAX_ERROR = 300
_OUTCOMES = words_of(AttemptOutcome.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class Step:
    """`after_s` is the time since the step before. `tone` is a class of the style sheet."""

    at: Timestamp
    text: str
    tone: str = ""
    after_s: float | None = None
    #: The webhook that the text ends with.
    job_id: str = ""
    actor: str = ""
    reason: str = ""
    took_s: float | None = None
    error_class: str = ""
    error_message: str = ""
    answer: Answer | None = None
    trace_id: str = ""


def story(found: GetDeliveryResponse, changes: Iterable[Change] = ()) -> list[Step]:
    """The steps of one webhook, oldest first. `changes` are those of the audit, in any order."""
    steps = sorted(_steps(found, changes), key=lambda step: _seconds(step.at))
    before: Sequence[Step | None] = [None, *steps]
    return [
        step if last is None else replace(step, after_s=_seconds(step.at) - _seconds(last.at))
        for step, last in zip(steps, before, strict=False)
    ]


def _steps(found: GetDeliveryResponse, changes: Iterable[Change]) -> Iterator[Step]:
    delivery = found.delivery
    yield _beginning(found)
    for attempt in found.attempts:
        yield _attempt(attempt)
    times = [attempt.ended_at for attempt in found.attempts]
    ended = max([delivery.created_at, delivery.last_attempt_at, *times], key=_seconds)
    if delivery.status == DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER:
        yield Step(ended, "It became a dead letter", "dead_letter")
    if delivery.duplicate_of:
        text = "It is a duplicate: the same event had arrived as"
        yield Step(ended, text, "duplicate", job_id=delivery.duplicate_of)
    known = [change for change in changes if change.action in _CHANGE_WORDS]
    for change in known:
        text = _CHANGE_WORDS[change.action]
        yield Step(change.changed_at, text, actor=change.actor, reason=change.reason)
    if found.HasField("retried_as"):
        yield _retried(found.retried_as)
    is_discarded = delivery.resolution == Resolution.RESOLUTION_DISCARDED
    if is_discarded and ChangeAction.CHANGE_ACTION_DISCARD not in map(attrgetter("action"), known):
        yield Step(delivery.resolved_at, "Discarded")


def _beginning(found: GetDeliveryResponse) -> Step:
    delivery = found.delivery
    if found.HasField("retry_of"):
        retry = found.retry_of
        text = "Made to run the duplicate" if retry.duplicate_of else "Made as a retry of"
        return Step(
            delivery.created_at, text, job_id=retry.job_id, actor=retry.actor, reason=retry.reason
        )
    if delivery.forward_of:
        text = f"Made by the forward {delivery.forward} of"
        return Step(delivery.created_at, text, job_id=delivery.forward_of)
    return Step(delivery.created_at, f"Accepted by the endpoint {delivery.endpoint_id}")


def _attempt(attempt: Attempt) -> Step:
    return Step(
        attempt.started_at,
        f"Attempt {attempt.attempt} {_ATTEMPT_WORDS.get(attempt.outcome, 'ended')}",
        _OUTCOMES.get(attempt.outcome, ""),
        took_s=attempt.duration_ms / 1000,
        error_class=attempt.error_class,
        error_message=attempt.error_message,
        answer=attempt.answer if attempt.HasField("answer") else None,
        trace_id=attempt.trace_id,
    )


def _retried(retry: Retry) -> Step:
    verb = "Run although it is a duplicate, as" if retry.duplicate_of else "Retried as"
    late = "" if retry.HasField("published_at") else "Not at the broker yet: "
    return Step(
        retry.created_at,
        f"{late}{verb}",
        job_id=retry.new_job_id,
        actor=retry.actor,
        reason=retry.reason,
    )


def why_it_waits(delivery: Delivery, health: GetQueueHealthResponse | None) -> str:
    """One sentence about a webhook that is not finished; empty for one that is.

    `health` is None for those who may not see it.
    """
    if delivery.HasField("waiting"):
        return _why_in_database(delivery)
    stopped = _why_nothing_runs(health)
    match delivery.status:
        case DeliveryStatus.DELIVERY_STATUS_PROCESSING:
            return "An attempt is running. If its process died, the broker delivers it again."
        case DeliveryStatus.DELIVERY_STATUS_PENDING:
            return stopped or "It is in the queue, until a processor has a free slot."
        case DeliveryStatus.DELIVERY_STATUS_FAILED:
            following = f"attempt {delivery.attempts + 1} of {delivery.max_attempts}"
            return stopped or f"It is in a retry queue, until {following} is due."
        case _:
            return ""


def summary(delivery: Delivery) -> str:
    """A few lines for a chat, without the event."""
    status = words_of(DeliveryStatus.DESCRIPTOR).get(delivery.status, "unknown").replace("_", " ")
    lines = [
        f"{delivery.event_type}: {status}, {delivery.attempts} of {delivery.max_attempts} attempts",
        ": ".join(filter(None, (delivery.error_class, delivery.error_message[:_MAX_ERROR]))),
        f"Accepted {delivery.created_at.ToJsonString()}, organisation {delivery.org_id}",
        f"Call {delivery.call_id}" if delivery.call_id else "",
        f"ringback delivery show {delivery.job_id}",
    ]
    return "\n".join(in_one_line(line) for line in lines if line)


def _why_in_database(delivery: Delivery) -> str:
    wait = delivery.waiting
    match wait.reason:
        case WaitReason.WAIT_REASON_DESTINATION:
            return (
                f"The destination {wait.destination} is unavailable or busy. "
                f"Attempt {wait.attempt} begins when it answers again; no attempt is lost."
            )
        case WaitReason.WAIT_REASON_ORDER:
            return (
                f"An earlier webhook of the call {wait.order_key} is not finished. "
                "Its webhooks run one after the other."
            )
        case WaitReason.WAIT_REASON_FORWARD:
            return "It forwards another webhook, and is published in moments."
        case WaitReason.WAIT_REASON_CANCELLED:
            return "It was cancelled, and becomes a dead letter in moments."
        case _:
            of = f"attempt {wait.attempt} of {delivery.max_attempts}"
            return f"The last attempt failed. It waits in the database until {of} is due."


def _why_nothing_runs(health: GetQueueHealthResponse | None) -> str:
    if health is None:
        return ""
    if health.processing.paused:
        by, reason = health.processing.changed_by, health.processing.reason
        return f"Processing is paused{f' by {by}' if by else ''}{f': {reason}' if reason else ''}."
    return "" if health.consumers else "No processor is connected to the broker."


def _seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
