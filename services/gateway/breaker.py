"""Spares webhooks the wait for a broker that does not confirm."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.publish_outcome import PublishOutcome

PROBE_AFTER_S = 3.0
"""Longer than a publish from the spool takes to fail, with the wait between two of them."""


@dataclass(slots=True)
class Breaker:
    """Open from the first confirm that did not come in time to the first one that did.

    A link that is down, or blocked, fails at once and needs no breaker. What the timeout left in
    the spool is published again and again until it is confirmed, so no new webhook has to wait in
    vain. Where the spool has nothing that can be published, or fails, nothing is heard of the
    broker; then one new webhook is tried every few seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _is_open: bool = False
    _heard_at: float = 0.0

    def is_open(self, *, spooled: int) -> bool:
        """Whether the broker is taken for too slow: only while the spool holds something."""
        return self._is_open and spooled > 0

    def admits(self, *, spooled: int) -> bool:
        """Whether to try the broker with a new webhook."""
        if not self.is_open(spooled=spooled):
            return True
        if self.clock() < self._heard_at + PROBE_AFTER_S:
            return False
        self._heard_at = self.clock()
        return True

    def heard(self, outcome: PublishOutcome) -> None:
        """Note how a publish ended."""
        if self._is_open:
            self._heard_at = self.clock()
        match outcome:
            case PublishOutcome.TIMEOUT:
                self._is_open = True
                self._heard_at = self.clock()
            case PublishOutcome.CONFIRMED:
                self._is_open = False
            case _:
                pass
