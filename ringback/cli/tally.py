"""The results of the webhooks that were sent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counted while sending.

    When nothing is in flight, `offered` is the sum of the three others.
    """

    offered: int = 0
    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    reasons: dict[int, str] = field(default_factory=dict)
    """The gateway's message with the first rejection of each status."""
    latencies_ms: list[float] = field(default_factory=list)
    """Of every answer, accepted or rejected."""
    job_ids: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def answered(self) -> int:
        return self.accepted + self.refused.total()

    @property
    def all_accepted(self) -> bool:
        return self.accepted == self.offered > 0

    @property
    def rate_per_s(self) -> float:
        """Accepted webhooks per second."""
        return self.accepted / self.elapsed_s if self.elapsed_s else 0.0


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` of all do not exceed; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(place)]
