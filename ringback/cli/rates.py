"""Webhooks that arrive and end per second, from counts read at intervals."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryStatsResponse

#: Rates cover this many seconds.
_SPAN_S = 12.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts of the webhooks created since `start`, read at `at_s` of some clock."""

    at_s: float
    start: float
    counts: Mapping[str, int]

    @classmethod
    def of(cls, stats: GetDeliveryStatsResponse, at_s: float) -> Self:
        summary = stats.summary
        counts = {
            "accepted": summary.total + summary.duplicates,
            "completed": summary.completed,
            "dead letters": summary.dead_letter,
            "duplicates": summary.duplicates,
        }
        return cls(at_s, stats.start_time.seconds, counts)


@dataclass(slots=True)
class Rates:
    _samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample | None) -> None:
        """None, if the counts were not available, changes nothing."""
        if sample is None:
            return
        self._samples.append(sample)
        while self._samples[0].at_s < sample.at_s - _SPAN_S:
            self._samples.popleft()

    def per_second(self, name: str) -> float | None:
        """None until two readings can be compared.

        When the range advances, every minute, its oldest webhooks leave the counts, so such a pair
        of readings does not show how many arrived in between.
        """
        grown, elapsed_s = 0, 0.0
        for before, after in pairwise(self._samples):
            if before.start == after.start:
                grown += after.counts[name] - before.counts[name]
                elapsed_s += after.at_s - before.at_s
        return max(0.0, grown / elapsed_s) if elapsed_s else None
