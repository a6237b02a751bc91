"""How many waiting webhooks may go to a destination: few at first, as it has just come back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Permit = Callable[[str], int | None]
"""How many calls of a destination this process permits now: none while its breaker is open, a few
probes while it is half-open. None: no limit, because it is closed or unknown.
"""

FIRST_PER_S = 10
_FORGOTTEN_AFTER_S = 60.0


@dataclass(slots=True)
class _Bucket:
    started_s: float
    filled_s: float
    used_s: float
    tokens: float


class ReleasePace:
    """A token bucket per destination: ten per second, and each second twice as many, up to `per_s`.

    It starts again from ten after the destination was not permitted, or was not used for a minute.
    A permit counts for a second, because the calls of those released before take that long to
    change it.
    """

    def __init__(self, per_s: int, permit: Permit = lambda _: None) -> None:
        self._per_s = per_s
        self._permit = permit
        self._buckets: dict[str, _Bucket] = {}

    @property
    def first(self) -> int:
        """How many may go at once to a destination that was not used lately."""
        return self.rate_per_s(0)

    def limits(self, now_s: float) -> Mapping[str, int]:
        """How many may go now to each destination that is known."""
        limits = {}
        for name, bucket in list(self._buckets.items()):
            permitted = self._permit(name)
            if permitted is None and now_s - bucket.used_s > _FORGOTTEN_AFTER_S:
                del self._buckets[name]
            else:
                self._fill(bucket, permitted, now_s)
                limits[name] = max(0, int(bucket.tokens))
        return limits

    def use(self, destinations: Iterable[str], now_s: float, *, tokens: int = 1) -> None:
        """Count webhooks that go to these destinations. With 0 tokens, they become known."""
        for name in destinations:
            bucket = self._buckets.setdefault(name, _Bucket(now_s, now_s, now_s, self.first))
            bucket.used_s = now_s
            bucket.tokens -= tokens

    def rate_per_s(self, elapsed_s: float) -> int:
        """How many may go in a second, this long after the first one."""
        return min(FIRST_PER_S << min(int(elapsed_s), self._per_s.bit_length()), self._per_s)

    def _fill(self, bucket: _Bucket, permitted: int | None, now_s: float) -> None:
        elapsed_s = now_s - bucket.filled_s
        if permitted is None:
            rate = self.rate_per_s(now_s - bucket.started_s)
            bucket.tokens = min(bucket.tokens + rate * elapsed_s, rate)
            bucket.filled_s = now_s
            return
        bucket.started_s = now_s
        bucket.tokens = min(bucket.tokens, permitted)
        if elapsed_s >= 1:
            bucket.tokens, bucket.filled_s = permitted, now_s
