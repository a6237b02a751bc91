"""The metrics and log lines of destinations, which handlers call."""

from typing import Final

from ringback.contract.telemetry.spec import PROCESSOR, Open

DESTINATION_STATES: Final = ("closed", "half_open", "open")
"""In the order of the values of `webhook_destination_state`."""

_NAMES: Final = Open("the destinations that handlers declare")


class DestinationMetric:
    DESTINATION_STATE: Final = PROCESSOR.gauge(
        "webhook_destination_state",
        "The breaker of a destination, as the next call meets it: 0 is closed, 1 half-open, "
        "2 open.",
        destination=_NAMES,
    )
    DESTINATION_IN_FLIGHT: Final = PROCESSOR.gauge(
        "webhook_destination_in_flight",
        "Calls to a destination that have begun and not ended.",
        destination=_NAMES,
    )
    DESTINATION_TRANSITIONS: Final = PROCESSOR.counter(
        "webhook_destination_transitions_total",
        "Changes of a destination's breaker, by the new state.",
        destination=_NAMES,
        state=DESTINATION_STATES,
    )
    DESTINATION_REFUSED: Final = PROCESSOR.counter(
        "webhook_destination_refused_total",
        "Calls that were not made: the breaker was open, or too many calls were in flight.",
        destination=_NAMES,
        reason=("breaker_open", "busy"),
    )
    DESTINATION_SECONDS: Final = PROCESSOR.histogram(
        "webhook_destination_call_duration_seconds",
        "Seconds of a call to a destination, by its outcome.",
        buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        destination=_NAMES,
        outcome=("succeeded", "failed", "cancelled"),
    )


class DestinationLogEvent:
    DESTINATION_CHANGED: Final = PROCESSOR.log(
        "destination.changed",
        "The breaker of a destination changed. While it is open, webhooks that need the "
        "destination wait; `error` is the last failure.",
        fields="destination state error retry_in_s forced",
    )
    DESTINATIONS_FORCED: Final = PROCESSOR.log(
        "destination.forced",
        "People keep these destinations in a state; all others change by themselves.",
        fields="states",
    )
