"""The destinations that handlers call: their metrics, log lines, report, and forced states."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.contract.telemetry.destinations import DESTINATION_STATES
from ringback.outgoing.calls import Destination
from ringback.outgoing.registry import DESTINATIONS
from ringback.runtime.observability.instruments import Instruments
from ringback.runtime.outgoing.breaker import BreakerState, Outcome

log = structlog.get_logger()


class DestinationInstruments:
    """Observes the destinations of this process. Never raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        instruments = Instruments(registry)
        self._state = instruments.gauge(Metric.DESTINATION_STATE)
        self._in_flight = instruments.gauge(Metric.DESTINATION_IN_FLIGHT)
        # Finding a series by its labels takes longer than adding to it.
        self._transitions = cache(instruments.counter(Metric.DESTINATION_TRANSITIONS).labels)
        self._refused = cache(instruments.counter(Metric.DESTINATION_REFUSED).labels)
        self._seconds = cache(instruments.histogram(Metric.DESTINATION_SECONDS).labels)

    def declared(self, destination: Destination) -> None:
        name = destination.name
        self._state.labels(name).set_function(
            lambda: DESTINATION_STATES.index(destination.breaker.next_state.value)
        )
        self._in_flight.labels(name).set_function(lambda: destination.in_flight)
        for state in DESTINATION_STATES:
            self._transitions(name, state)
        for reason in ("breaker_open", "busy"):
            self._refused(name, reason)
        for outcome in Outcome:
            self._seconds(name, outcome.value)

    def refused(self, destination: Destination) -> None:
        reason = "busy" if destination.is_busy else "breaker_open"
        self._refused(destination.name, reason).inc()

    def ended(self, destination: Destination, outcome: Outcome, seconds: float) -> None:
        self._seconds(destination.name, outcome.value).observe(seconds)

    def changed(self, destination: Destination, state: BreakerState) -> None:
        self._transitions(destination.name, state.value).inc()
        log.log(
            _LEVELS[state],
            LogEvent.DESTINATION_CHANGED,
            destination=destination.name,
            state=state.value,
            error=destination.last_error,
            retry_in_s=round(destination.breaker.retry_in_s, 1),
            forced=destination.breaker.forced is not None,
        )


_INFO, _WARNING = 20, 30
_LEVELS = {
    BreakerState.CLOSED: _INFO,
    BreakerState.HALF_OPEN: _INFO,
    BreakerState.OPEN: _WARNING,
}


def destinations_report(destinations: Iterable[Destination] = DESTINATIONS) -> str:
    """The states for the heartbeat, as JSON."""
    return orjson.dumps([_report_of(one) for one in destinations]).decode()


def _report_of(destination: Destination) -> Mapping[str, Any]:
    breaker = destination.breaker
    state = breaker.next_state
    retry_at = None
    if state is BreakerState.OPEN and breaker.forced is None:
        retry_at = datetime.now(UTC) + timedelta(seconds=breaker.retry_in_s)
    return {
        "name": destination.name,
        "state": state.value,
        "in_flight": destination.in_flight,
        "last_error": destination.last_error,
        "retry_at": retry_at,
    }


class ForcedStates:
    """Applies what people decided. Without a database the last decision stays valid."""

    def __init__(self) -> None:
        self._known: dict[str, BreakerState] = {}

    def apply(self, states: Mapping[str, BreakerState]) -> None:
        if states == self._known:
            return
        self._known = dict(states)
        DESTINATIONS.force(states)
        log.warning(
            LogEvent.DESTINATIONS_FORCED,
            states={name: state.value for name, state in sorted(states.items())},
        )
