"""`ringback destinations` lists them, and asks the service for a state."""

from typing import Any

import pytest

from ringback.metrics.v1.admin_service_pb2 import SetDestinationResponse
from ringback.metrics.v1.delivery_pb2 import BreakerState, Destination
from ringback.metrics.v1.metrics_service_pb2 import ListDestinationsResponse
from tests.unit.cli.command import Ringback
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

OPEN = BreakerState.BREAKER_STATE_OPEN


def twilio(forced_state: BreakerState.ValueType = OPEN) -> Destination:
    return Destination(
        name="twilio",
        state=OPEN,
        processors=3,
        processors_not_closed=1,
        in_flight=4,
        last_error="HTTP 503",
        waiting=1200,
        forced_state=forced_state,
        changed_by="ada",
        reason="They asked us to stop.",
    )


def test_the_list_shows_states_and_who_keeps_them(
    service: ScriptedService, ringback: Ringback
) -> None:
    crm = Destination(name="crm")
    service.answer = answers(ListDestinationsResponse(destinations=[crm, twilio()]))

    ended = ringback("destinations", "list")

    assert ended.status == 0
    first, second = [" ".join(line.split()) for line in ended.out.splitlines()[1:3]]
    assert first == "crm not reported 0 of 0 0 0"
    assert second == "twilio open 1 of 3 4 1,200"
    assert "twilio: the last error is HTTP 503." in ended.out
    assert "twilio is kept open by ada: They asked us to stop." in ended.out


@pytest.mark.parametrize(
    ("command", "state", "words"),
    [
        ("open", OPEN, "twilio is kept open in 3 processors"),
        ("half-open", BreakerState.BREAKER_STATE_HALF_OPEN, "twilio is kept half-open"),
        ("close", BreakerState.BREAKER_STATE_CLOSED, "twilio is kept closed"),
        ("auto", BreakerState.BREAKER_STATE_UNSPECIFIED, "twilio follows its breakers again"),
    ],
)
def test_a_decision_is_sent_with_its_reason(
    service: ScriptedService,
    ringback: Ringback,
    command: str,
    state: BreakerState.ValueType,
    words: str,
) -> None:
    asked: list[Any] = []

    def answer(request: Any) -> SetDestinationResponse:
        asked.append(request)
        return SetDestinationResponse(destination=twilio(state))

    service.answer = answer

    ended = ringback("destinations", command, "twilio", "--reason", "Why.")

    assert ended.status == 0
    assert words in " ".join(ended.out.split())
    [request] = asked
    assert (request.name, request.forced_state, request.reason) == ("twilio", state, "Why.")


def test_a_decision_needs_a_reason(service: ScriptedService, ringback: Ringback) -> None:
    del service

    assert "--reason" in ringback("destinations", "open", "twilio").error
