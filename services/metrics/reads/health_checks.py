"""The published thresholds."""

from dataclasses import dataclass

from ringback.contract import thresholds
from services.metrics.reads.queue_state import QueueState

FEWEST_CONSUMERS = 1


@dataclass(frozen=True, slots=True)
class Check:
    """`value` was measured, `limit` is published; `message` compares them in a sentence."""

    name: str
    ok: bool
    value: float
    limit: float
    message: str


def checks_of(state: QueueState) -> tuple[Check, ...]:
    """All checks, in the order of the contract, passed or not."""
    return (_waiting(state), _failure_rate(state), _dead_letters(state), _consumers(state))


def _waiting(state: QueueState) -> Check:
    ok = state.waiting < thresholds.WAITING
    limit = f"fewer than {thresholds.WAITING} are healthy"
    message = f"{_webhooks(state.waiting)} waiting: {limit}."
    return Check("waiting", ok, state.waiting, thresholds.WAITING, message)


def _failure_rate(state: QueueState) -> Check:
    ratio = state.failure_ratio
    message = (
        f"{ratio:.2%} of the webhooks of the last 24 hours have failed: "
        f"less than {thresholds.FAILURE_RATIO:.0%} is healthy."
    )
    ok = ratio < thresholds.FAILURE_RATIO
    return Check("failure_rate", ok, ratio, thresholds.FAILURE_RATIO, message)


def _dead_letters(state: QueueState) -> Check:
    count, limit = state.dead_letters, thresholds.DEAD_LETTERS
    letters = "1 dead letter is" if count == 1 else f"{count} dead letters are"
    message = f"{letters} unresolved: at most {limit} are healthy."
    return Check("dead_letters", count <= limit, count, limit, message)


def _consumers(state: QueueState) -> Check:
    count = state.consumers
    if count >= FEWEST_CONSUMERS:
        message = f"The work queue has {count} consumer{'s' if count > 1 else ''}."
    elif state.processing.paused:
        message = "No processor takes work: processing is paused."
    else:
        message = "No processor takes work."
    return Check("consumers", count >= FEWEST_CONSUMERS, count, FEWEST_CONSUMERS, message)


def _webhooks(count: int) -> str:
    return "1 webhook is" if count == 1 else f"{count} webhooks are"
