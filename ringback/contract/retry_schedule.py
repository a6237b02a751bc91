"""The delays between attempts, and which attempt follows which.

    attempt 1 ──fail──▶ queue 1 (2 s) ──▶ attempt 2 ──fail──▶ queue 2 (4 s) ──▶ attempt 3 …

The number of retry queues is the retry limit: three make four attempts.
"""

import re
from dataclasses import dataclass
from typing import NewType, Self

Attempt = NewType("Attempt", int)
"""The number of an attempt. The first is always 1."""

FIRST_ATTEMPT = Attempt(1)

_ROUTING_KEY = re.compile(r"attempt\.([1-9][0-9]{0,3})")
_DELAY = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_LONGEST_DELAY_MS = 24 * _UNIT_MS["h"]
MAX_RETRY_QUEUES = 20


class InvalidRetryScheduleError(ValueError):
    """The retry schedule is not a list of delays such as `2s,4s,8s`."""


@dataclass(frozen=True, slots=True)
class RetryQueue:
    """One retry queue: what failed `attempt` waits there for `delay_ms`, then is tried again."""

    attempt: Attempt
    delay_ms: int
    label: str

    @property
    def queue_name(self) -> str:
        """The delay is part of the name, so another delay means another queue."""
        return f"webhooks.retry.{self.attempt}.{self.label}"


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays in order. After attempt n fails, a message waits in retry queue n."""

    retry_queues: tuple[RetryQueue, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `2s,4s,8s` (units ms, s, m, h; at most 20 delays of at most 24 h each).

        An empty text is a schedule without delays: one attempt, no retry. Raises
        InvalidRetryScheduleError with a sentence that names the wrong part.
        """
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        if len(parts) > MAX_RETRY_QUEUES:
            raise InvalidRetryScheduleError(f"{len(parts)} delays are more than {MAX_RETRY_QUEUES}")
        return cls(tuple(_retry_queue(Attempt(n), part) for n, part in enumerate(parts, start=1)))

    @property
    def max_attempts(self) -> int:
        return len(self.retry_queues) + 1

    def retry_queue_after(self, attempt: Attempt) -> RetryQueue | None:
        """The retry queue after this attempt failed; None if it was the last."""
        return self.retry_queues[attempt - 1] if attempt <= len(self.retry_queues) else None

    def __str__(self) -> str:
        return ",".join(retry_queue.label for retry_queue in self.retry_queues)


def _retry_queue(attempt: Attempt, text: str) -> RetryQueue:
    match = _DELAY.fullmatch(text)
    if match is None:
        raise InvalidRetryScheduleError(f"{text!r} is not a delay such as 500ms, 2s, 5m or 1h")
    delay_ms = int(match[1]) * _UNIT_MS[match[2]]
    if delay_ms > _LONGEST_DELAY_MS:
        raise InvalidRetryScheduleError(f"{text!r} is longer than 24h")
    return RetryQueue(attempt=attempt, delay_ms=delay_ms, label=text)


def routing_key(attempt: Attempt) -> str:
    """The routing key of messages for this attempt."""
    return f"attempt.{attempt}"


def attempt_of(key: str) -> Attempt | None:
    """The attempt of a routing key; None if the key is not ours."""
    match = _ROUTING_KEY.fullmatch(key)
    return Attempt(int(match[1])) if match else None
