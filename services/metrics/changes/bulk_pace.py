"""How fast a bulk retry may run. Live traffic has priority."""

from dataclasses import dataclass

MOST_UNFINISHED = 50
"""Retries whose result is unknown. A run sees failures before it is far ahead of them."""

MOST_WAITING = 50
LEAST_RATE = 5.0
"""Per second. This rate is always harmless, even when no webhooks arrive."""

SHARE_OF_LIVE = 0.5


@dataclass(frozen=True, slots=True)
class Conditions:
    """`waiting`: messages in the work queue; None when the broker does not answer."""

    waiting: int | None
    live_per_second: float
    is_paused: bool


def allowed_rate(asked_per_second: float, conditions: Conditions) -> float:
    """Retries per second that are allowed now; 0 when `why_held` returns a reason."""
    if why_held(conditions, unfinished=0) is not None:
        return 0.0
    return min(asked_per_second, max(LEAST_RATE, conditions.live_per_second * SHARE_OF_LIVE))


def why_held(conditions: Conditions, *, unfinished: int) -> str | None:
    """Why no retry is allowed now, as a sentence; None when one is."""
    if conditions.is_paused:
        return "Held: processing is paused."
    if conditions.waiting is None:
        return "Held: the broker does not say how many webhooks wait."
    if conditions.waiting >= MOST_WAITING:
        return f"Held: {conditions.waiting} webhooks wait for a processor."
    if unfinished >= MOST_UNFINISHED:
        return f"Held: {unfinished} retries are not finished yet."
    return None


def next_turn(last_turn: float, now: float, rate_per_second: float) -> float:
    """When the next retry may start. Missed turns are not made up for."""
    return max(last_turn + 1 / rate_per_second, now)
