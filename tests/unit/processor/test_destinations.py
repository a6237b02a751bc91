"""What a processor exports and logs about its destinations."""

from contextlib import suppress
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ringback.outgoing import Unavailable
from ringback.outgoing.registry import Destinations
from ringback.runtime.outgoing.breaker import BreakerState
from ringback.services.processor.destinations import DestinationInstruments, destinations_report


class Observed:
    """Destinations with their metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.destinations = Destinations()
        self.destinations.observe(DestinationInstruments(self.registry))
        self.shop = self.destinations.declare("shop", concurrency=1)

    def value(self, name: str, **labels: str) -> Any:
        return self.registry.get_sample_value(name, {"destination": "shop", **labels})

    async def fail(self) -> None:
        with suppress(ConnectionResetError, Unavailable):
            async with self.shop:
                raise ConnectionResetError


async def test_calls_refusals_and_changes_are_counted_and_logged() -> None:
    seen = Observed()
    before = seen.value("webhook_destination_refused_total", reason="breaker_open")

    with capture_logs() as logs:
        for _ in range(5):
            await seen.fail()
    seen.shop.begin()
    [report] = orjson.loads(destinations_report(seen.destinations))

    failed = seen.value("webhook_destination_call_duration_seconds_count", outcome="failed")
    assert (before, failed) == (0, 5)
    assert seen.value("webhook_destination_state") == 2
    assert seen.value("webhook_destination_transitions_total", state="open") == 1
    assert seen.value("webhook_destination_refused_total", reason="breaker_open") == 1
    [line] = logs
    assert (line["event"], line["log_level"]) == ("destination.changed", "warning")
    assert (line["destination"], line["state"], line["forced"]) == ("shop", "open", False)
    assert line["error"] == report["last_error"] == "ConnectionResetError"
    assert report["state"] == "open"
    assert report["retry_at"] is not None


async def test_a_busy_destination_is_told_from_one_that_fails() -> None:
    seen = Observed()

    async with seen.shop:
        in_flight = seen.value("webhook_destination_in_flight")
        seen.shop.begin()

    assert (in_flight, seen.value("webhook_destination_in_flight")) == (1, 0)
    assert seen.value("webhook_destination_refused_total", reason="busy") == 1


def test_a_state_that_a_person_keeps_has_no_time_of_its_end() -> None:
    seen = Observed()

    with capture_logs() as logs:
        seen.destinations.force({"shop": BreakerState.OPEN})
    [report] = orjson.loads(destinations_report(seen.destinations))
    seen.destinations.force({})
    [automatic] = orjson.loads(destinations_report(seen.destinations))

    assert [line["forced"] for line in logs] == [True]
    assert (report["state"], report["retry_at"]) == ("open", None)
    # As the next call meets it: there may be none for a long time.
    assert (automatic["state"], automatic["retry_at"]) == ("half_open", None)
    assert seen.value("webhook_destination_state") == 1
