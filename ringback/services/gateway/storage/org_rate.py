"""Decides which orgs send more than their rate: their webhooks wait in the bulk queue."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

STICKY_S = 30.0
"""How long an org counts as above its rate after its last webhook without a token.

Without it, a steady flood would still fill the work queue at the org's rate.
"""

_BURST_S = 1.0
"""A bucket holds the tokens of this many seconds.

What a flood sends before its bucket is empty is in the work queue, before the webhooks of others.
With a smaller bucket, more orgs would change the queue, and then a webhook can overtake another.
"""

_MAX_ORGS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_s: float
    over_until_s: float = -math.inf


class OrgRates:
    """A token bucket for each org. Remembers `max_orgs`, those that sent last; has no timers.

    `on_over` is called when an org begins to send more than its rate.
    """

    def __init__(
        self,
        rate_per_s: float,
        *,
        on_over: Callable[[UUID], None],
        max_orgs: int = _MAX_ORGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate_per_s = rate_per_s
        self._capacity = max(1.0, rate_per_s * _BURST_S)
        self._on_over = on_over
        self._max_orgs = max_orgs
        self._clock = clock
        self._buckets = OrderedDict[UUID, _Bucket]()

    def is_over(self, org_id: UUID) -> bool:
        """Count a webhook of an org, and return whether the org sends more than its rate.

        A rate of 0 means that no org does.
        """
        if not self._rate_per_s:
            return False
        now_s = self._clock()
        bucket = self._buckets.get(org_id)
        if bucket is None:
            bucket = self._buckets[org_id] = _Bucket(self._capacity, now_s)
            if len(self._buckets) > self._max_orgs:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(org_id)
            gained = (now_s - bucket.filled_at_s) * self._rate_per_s
            bucket.tokens = min(self._capacity, bucket.tokens + gained)
            bucket.filled_at_s = now_s
        was_over = now_s < bucket.over_until_s
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return was_over
        bucket.over_until_s = now_s + STICKY_S
        if not was_over:
            self._on_over(org_id)
        return True
