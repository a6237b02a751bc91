"""Skips the broker for new webhooks while it does not confirm in time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ringback.services.gateway.storage.result import PublishOutcome

PROBE_AFTER_S = 3.0
"""Longer than a failed publish from the spool takes, including the wait until the next one."""


@dataclass(slots=True)
class Breaker:
    """Open from the first confirm that timed out until the next one that arrives.

    While it is open, new webhooks go to the spool directly. The webhook that timed out is in the
    spool too, and is published again until the broker confirms it; this closes the breaker. If the
    spool publishes nothing, because it is damaged or failing, one new webhook is tried every few
    seconds. A lost or blocked connection fails at once and does not open the breaker.
    """

    clock: Callable[[], float] = time.monotonic
    _is_open: bool = False
    _recorded_at: float = 0.0

    def is_open(self, *, spooled: int) -> bool:
        """Whether the broker counts as too slow: only while webhooks are in the spool."""
        return self._is_open and spooled > 0

    def allows_publish(self, *, spooled: int) -> bool:
        """Whether to publish a new webhook to the broker."""
        if not self.is_open(spooled=spooled):
            return True
        if self.clock() < self._recorded_at + PROBE_AFTER_S:
            return False
        self._recorded_at = self.clock()
        return True

    def record(self, outcome: PublishOutcome) -> None:
        """Record the outcome of a publish."""
        if self._is_open:
            self._recorded_at = self.clock()
        match outcome:
            case PublishOutcome.TIMEOUT:
                self._is_open = True
                self._recorded_at = self.clock()
            case PublishOutcome.CONFIRMED:
                self._is_open = False
            case _:
                pass
