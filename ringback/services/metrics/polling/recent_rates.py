"""The rates of the last minute, from the counts that the poller reads every second. No I/O."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

_SPAN_S = 60.0


@dataclass(frozen=True, slots=True)
class LastDay:
    """Counts of webhooks created since `counted_from`, the minute 24 hours ago.

    `failed` includes dead letters, `accepted` duplicates. `attempts`: of the webhooks that are
    completed or failed.
    """

    completed: int
    failed: int
    dead_letters: int
    attempts: int
    accepted: int
    counted_from: datetime


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, measured over `measured_s` seconds."""

    accepted: float
    completed: float
    failed_attempts: float
    dead_lettered: float
    measured_s: float


class RecentRates:
    """Keeps the counts of the last minute.

    Counts since different minutes are not comparable, because the oldest webhooks have left them:
    one second of each minute is not measured.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, LastDay]] = deque()

    def add(self, counts: LastDay, at_s: float) -> None:
        self._samples.append((at_s, counts))
        while self._samples[0][0] < at_s - _SPAN_S:
            self._samples.popleft()

    def rates(self) -> Rates | None:
        """None before there are two comparable counts."""
        pairs = [
            (before, after, after_s - before_s)
            for (before_s, before), (after_s, after) in pairwise(self._samples)
            if before.counted_from == after.counted_from
        ]
        measured_s = sum(elapsed_s for _, _, elapsed_s in pairs)
        if not measured_s:
            return None

        def per_second(count: Callable[[LastDay], int]) -> float:
            return sum(count(after) - count(before) for before, after, _ in pairs) / measured_s

        completed = per_second(lambda counts: counts.completed)
        attempts = per_second(lambda counts: counts.attempts)
        return Rates(
            accepted=max(0.0, per_second(lambda counts: counts.accepted)),
            completed=max(0.0, completed),
            # A webhook is completed by one attempt; its other attempts failed.
            failed_attempts=max(0.0, attempts - completed),
            dead_lettered=max(0.0, per_second(lambda counts: counts.dead_letters)),
            measured_s=measured_s,
        )
