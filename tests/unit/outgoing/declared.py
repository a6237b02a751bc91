"""Destinations that tests declare, and a watch that keeps what it is told."""

from typing import Any

from ringback.outgoing import Destination
from ringback.outgoing.registry import Destinations
from ringback.runtime.outgoing.breaker import BreakerState, Outcome

LOOPBACK = "127.0.0.0/8"


class Kept:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.outcomes: list[Outcome] = []
        self.states: list[BreakerState] = []
        self.names: list[str] = []

    def declared(self, destination: Destination) -> None:
        self.names.append(destination.name)

    def refused(self, destination: Destination) -> None:
        self.refusals.append("busy" if destination.is_busy else "breaker_open")

    def ended(self, destination: Destination, outcome: Outcome, seconds: float) -> None:
        assert destination.in_flight >= 0
        assert seconds >= 0
        self.outcomes.append(outcome)

    def changed(self, destination: Destination, state: BreakerState) -> None:
        assert destination.breaker.state is state
        self.states.append(state)


def declared(destinations: Destinations, **changes: Any) -> Destination:
    return destinations.declare("shop", **{"allow_networks": LOOPBACK, **changes})
