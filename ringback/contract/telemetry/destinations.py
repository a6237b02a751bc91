"""The metrics and log lines of destinations, which handlers call."""

from typing import Final

from ringback.contract.telemetry.spec import Kind, LogEventSpec, MetricSpec, Open, Service

PROCESSOR: Final = (Service.PROCESSOR,)

DESTINATION_STATES: Final = ("closed", "half_open", "open")
"""In the order of the values of `webhook_destination_state`."""

_NAMES: Final = Open("the destinations that handlers declare")


class DestinationMetric:
    DESTINATION_STATE: Final = MetricSpec(
        name="webhook_destination_state",
        kind=Kind.GAUGE,
        help="The breaker of a destination, as the next call meets it: 0 is closed, 1 half-open, "
        "2 open.",
        services=PROCESSOR,
        labels={"destination": _NAMES},
    )
    DESTINATION_IN_FLIGHT: Final = MetricSpec(
        name="webhook_destination_in_flight",
        kind=Kind.GAUGE,
        help="Calls to a destination that have begun and not ended.",
        services=PROCESSOR,
        labels={"destination": _NAMES},
    )
    DESTINATION_TRANSITIONS: Final = MetricSpec(
        name="webhook_destination_transitions_total",
        kind=Kind.COUNTER,
        help="Changes of a destination's breaker, by the new state.",
        services=PROCESSOR,
        labels={"destination": _NAMES, "state": DESTINATION_STATES},
    )
    DESTINATION_REFUSED: Final = MetricSpec(
        name="webhook_destination_refused_total",
        kind=Kind.COUNTER,
        help="Calls that were not made: the breaker was open, or too many calls were in flight.",
        services=PROCESSOR,
        labels={"destination": _NAMES, "reason": ("breaker_open", "busy")},
    )
    DESTINATION_SECONDS: Final = MetricSpec(
        name="webhook_destination_call_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds of a call to a destination, by its outcome.",
        services=PROCESSOR,
        labels={"destination": _NAMES, "outcome": ("succeeded", "failed", "cancelled")},
        buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )


class DestinationLogEvent:
    DESTINATION_CHANGED: Final = LogEventSpec(
        "destination.changed",
        "The breaker of a destination changed. While it is open, webhooks that need the "
        "destination wait; `error` is the last failure.",
        services=PROCESSOR,
        fields=("destination", "state", "error", "retry_in_s", "forced"),
    )
    DESTINATIONS_FORCED: Final = LogEventSpec(
        "destination.forced",
        "People keep these destinations in a state; all others change by themselves.",
        services=PROCESSOR,
        fields=("states",),
    )
