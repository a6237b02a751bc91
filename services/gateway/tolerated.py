"""What senders do wrong and get accepted all the same.

Only what cannot be stored, or whose sender is not proven, is refused: docs/tolerance.md.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from ringback.contract.telemetry import LogEvent

_LOG_EVERY_S = 60.0


class Deviation(StrEnum):
    PATH = "path"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    BODY = "body"


@dataclass(slots=True)
class _Unlogged:
    next_line_at: float
    count: int = 0
    deviations: set[Deviation] = field(default_factory=set)


class ToleratedLog:
    """Writes a line for the first deviation of an endpoint, then one a minute for all others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log = structlog.get_logger()
        self._endpoints: dict[str, _Unlogged] = {}

    def add(self, endpoint_id: str, deviations: Collection[Deviation]) -> None:
        now = self._clock()
        unlogged = self._endpoints.setdefault(endpoint_id, _Unlogged(now))
        unlogged.count += 1
        unlogged.deviations.update(deviations)
        if now < unlogged.next_line_at:
            return
        self._log.warning(
            LogEvent.WEBHOOK_TOLERATED,
            endpoint_id=endpoint_id,
            deviations=sorted(unlogged.deviations),
            count=unlogged.count,
        )
        self._endpoints[endpoint_id] = _Unlogged(now + _LOG_EVERY_S)
