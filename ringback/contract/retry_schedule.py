"""The retry schedule: the delays between attempts, and which attempt follows which.

    attempt 1 ──fail──▶ queue 1 (2 s) ──▶ attempt 2 ──fail──▶ wait (1 m) ──▶ attempt 3 …

Short delays are retry queues of the broker, longer ones are waits in PostgreSQL. The number of
delays is the retry limit: three make four attempts.
"""

import re
from dataclasses import dataclass
from typing import NewType, Self

Attempt = NewType("Attempt", int)
"""The number of an attempt. The first is always 1."""

FIRST_ATTEMPT = Attempt(1)

BULK_KEY = f"attempt.{FIRST_ATTEMPT}.bulk"
"""The routing key of a first attempt whose org sends more than its rate."""

_ROUTING_KEY = re.compile(r"attempt\.([1-9][0-9]{0,3})")
_DELAY = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
LONGEST_DELAY_MS = 24 * _UNIT_MS["h"]
LONGEST_QUEUE_DELAY_MS = 30 * _UNIT_MS["s"]
"""A longer delay has no retry queue: the webhook waits in PostgreSQL."""

MAX_RETRIES = 20


class InvalidRetryScheduleError(ValueError):
    """The retry schedule is not a list of delays such as `2s,4s,8s`."""


@dataclass(frozen=True, slots=True)
class RetryStep:
    """What failed `attempt` is tried again after `delay_ms`."""

    attempt: Attempt
    delay_ms: int
    label: str

    @property
    def queue_name(self) -> str:
        """The name of the step's retry queue. Another delay means another queue."""
        return f"webhooks.retry.{self.attempt}.{self.label}"


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays in order. After attempt n failed, step n is the delay before the next one."""

    steps: tuple[RetryStep, ...]
    longest_queue_delay_ms: int = LONGEST_QUEUE_DELAY_MS

    @classmethod
    def parse(cls, text: str, *, longest_queue_delay_ms: int = LONGEST_QUEUE_DELAY_MS) -> Self:
        """Parse `2s,4s,1m` (units ms, s, m, h; at most 20 delays of at most 24 h each).

        An empty text is a schedule without delays: one attempt, no retry. Raises
        InvalidRetryScheduleError with a sentence that names the wrong part.
        """
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        if len(parts) > MAX_RETRIES:
            raise InvalidRetryScheduleError(f"{len(parts)} delays are more than {MAX_RETRIES}")
        steps = tuple(_step(Attempt(n), part) for n, part in enumerate(parts, start=1))
        return cls(steps, longest_queue_delay_ms)

    @property
    def max_attempts(self) -> int:
        return len(self.steps) + 1

    @property
    def retry_queues(self) -> tuple[RetryStep, ...]:
        """The steps that are short enough for a retry queue of the broker."""
        return tuple(step for step in self.steps if step.delay_ms <= self.longest_queue_delay_ms)

    def step_after(self, attempt: Attempt) -> RetryStep | None:
        """The step after this attempt failed; None if it was the last."""
        return self.steps[attempt - 1] if attempt <= len(self.steps) else None

    def retry_queue_after(self, attempt: Attempt) -> RetryStep | None:
        """The step after this attempt failed, if it is a retry queue."""
        step = self.step_after(attempt)
        return None if step is None or step.delay_ms > self.longest_queue_delay_ms else step

    def __str__(self) -> str:
        return ",".join(step.label for step in self.steps)


def _step(attempt: Attempt, text: str) -> RetryStep:
    match = _DELAY.fullmatch(text)
    if match is None:
        raise InvalidRetryScheduleError(f"{text!r} is not a delay such as 500ms, 2s, 5m or 1h")
    delay_ms = int(match[1]) * _UNIT_MS[match[2]]
    if delay_ms > LONGEST_DELAY_MS:
        raise InvalidRetryScheduleError(f"{text!r} is longer than 24h")
    return RetryStep(attempt=attempt, delay_ms=delay_ms, label=text)


def routing_key(attempt: Attempt) -> str:
    """The routing key of messages for this attempt."""
    return f"attempt.{attempt}"


def attempt_of(key: str) -> Attempt | None:
    """The attempt of a routing key; None if the key is not ours."""
    if key == BULK_KEY:
        return FIRST_ATTEMPT
    match = _ROUTING_KEY.fullmatch(key)
    return Attempt(int(match[1])) if match else None
