"""Counts the requests that the gateway refused, by endpoint and reason."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ringback.services.gateway.endpoints.endpoint import Endpoint
from ringback.services.gateway.http.rejection import Rejection

MAX_KINDS = 500


@dataclass(slots=True)
class _Refused:
    rejection: Rejection
    endpoint: Endpoint | None
    first_at: datetime
    last_at: datetime
    count: int = 0


class RefusalCounts:
    """Keeps the newest 500 pairs of an endpoint and a reason. Adding one takes constant time.

    Only declared endpoints have counts of their own, so a sender cannot invent endpoints.
    `version` changes with each refusal.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], _Refused] = OrderedDict()
        self.version = 0

    def add(self, endpoint: Endpoint | None, rejection: Rejection) -> None:
        """`endpoint` is None for a request to a path that has none."""
        self.version += 1
        now = self._clock()
        key = ("" if endpoint is None else endpoint.id, rejection.reason)
        refused = self._kinds.get(key)
        if refused is None:
            refused = self._kinds[key] = _Refused(rejection, endpoint, now, now)
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(key)
        refused.count += 1
        refused.endpoint, refused.last_at = endpoint, now

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of `webhook_gateway_refusals`."""
        for (endpoint_id, reason), refused in self._kinds.items():
            yield {
                "endpoint_id": endpoint_id,
                "org_id": None if refused.endpoint is None else refused.endpoint.org_id,
                "reason": reason,
                "status": refused.rejection.status.value,
                "count": refused.count,
                "first_at": refused.first_at,
                "last_at": refused.last_at,
            }
