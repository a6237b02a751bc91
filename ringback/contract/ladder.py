"""The delays between attempts, and which attempt follows which.

    attempt   1 ──fail──▶ rung 1 (2 s) ──▶ attempt 2 ──fail──▶ rung 2 (4 s) ──▶ attempt 3 …

Each rung is a retry queue. Their number is the retry limit: three make four attempts.
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
_MOST_RUNGS = 20


class BadLadderError(ValueError):
    """The retry schedule is not a list of delays such as `2s,4s,8s`."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One retry queue: what failed `attempt` waits there for `delay_ms`, then is tried again."""

    attempt: Attempt
    delay_ms: int
    label: str

    @property
    def queue_name(self) -> str:
        """The delay is part of the name, so another delay means another queue."""
        return f"webhooks.retry.{self.attempt}.{self.label}"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The delays in order. After attempt n fails, a message waits in retry queue n."""

    rungs: tuple[Rung, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `2s,4s,8s` (units ms, s, m, h; at most 20 delays of at most 24 h each).

        An empty text is a schedule without delays: one attempt, no retry. Raises BadLadderError
        with a sentence that names the wrong part.
        """
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        if len(parts) > _MOST_RUNGS:
            raise BadLadderError(f"{len(parts)} delays are more than {_MOST_RUNGS}")
        return cls(tuple(_rung(Attempt(n), part) for n, part in enumerate(parts, start=1)))

    @property
    def max_attempts(self) -> int:
        return len(self.rungs) + 1

    def rung_after(self, attempt: Attempt) -> Rung | None:
        """The retry queue after this attempt failed; None if it was the last."""
        return self.rungs[attempt - 1] if attempt <= len(self.rungs) else None

    def __str__(self) -> str:
        return ",".join(rung.label for rung in self.rungs)


def _rung(attempt: Attempt, text: str) -> Rung:
    match = _DELAY.fullmatch(text)
    if match is None:
        raise BadLadderError(f"{text!r} is not a delay such as 500ms, 2s, 5m or 1h")
    delay_ms = int(match[1]) * _UNIT_MS[match[2]]
    if delay_ms > _LONGEST_DELAY_MS:
        raise BadLadderError(f"{text!r} is longer than 24h")
    return Rung(attempt=attempt, delay_ms=delay_ms, label=text)


def routing_key(attempt: Attempt) -> str:
    """The routing key of messages for this attempt."""
    return f"attempt.{attempt}"


def attempt_of(key: str) -> Attempt | None:
    """The attempt of a routing key; None if the key is not ours."""
    match = _ROUTING_KEY.fullmatch(key)
    return Attempt(int(match[1])) if match else None
