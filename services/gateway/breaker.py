"""Spares webhooks the wait for a broker that does not confirm."""

from dataclasses import dataclass

from services.gateway.publish_outcome import PublishOutcome


@dataclass(slots=True)
class Breaker:
    """Open from the first confirm that did not come in time to the first one that did.

    A link that is down, or blocked, fails at once and needs no breaker. Nobody waits in vain to
    find out whether the broker is back: what the timeout left in the spool is published again and
    again until it is confirmed. So it counts as open only while the spool holds something.
    """

    _is_open: bool = False

    def is_open(self, *, spooled: int) -> bool:
        return self._is_open and spooled > 0

    def heard(self, outcome: PublishOutcome) -> None:
        """Told how each publish ended."""
        match outcome:
            case PublishOutcome.TIMEOUT:
                self._is_open = True
            case PublishOutcome.CONFIRMED:
                self._is_open = False
            case _:
                pass
