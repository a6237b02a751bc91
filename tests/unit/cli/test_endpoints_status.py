"""`ringback endpoints status` shows what running gateways have and refuse."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1.endpoint_pb2 import (
    Endpoint,
    EndpointForward,
    EndpointGateway,
    Gateway,
    Refusal,
)
from ringback.metrics.v1.metrics_service_pb2 import ListEndpointsResponse
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import at
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

NOW = Timestamp()
NOW.FromDatetime(datetime.now(UTC))
ORG = "0198a000-0000-7000-8000-00000000000a"
PAGE = ListEndpointsResponse(
    endpoints=[
        Endpoint(
            id="acme",
            org_id=ORG,
            is_enabled=True,
            event_types=["*"],
            credential_kinds=["secret", "hmac"],
            questions=["tool-calls"],
            forwards=[EndpointForward(name="crm", host="example.com", event_types=["*"])],
            gateways=[
                EndpointGateway(host="gw-0", since=at(0)),
                EndpointGateway(host="gw-1", since=at(-1), is_different=True),
            ],
            refusals=[Refusal(reason="wrong_secret", status=401, count=1200, last_at=NOW)],
        )
    ],
    gateways=[Gateway(host="gw-0", endpoint_count=1, started_at=NOW, file_problems=["line 1: x"])],
    unknown_endpoint_refusals=[Refusal(reason="not_found", status=404, count=1, last_at=NOW)],
)
LINES = f"""\
acme  enabled  org {ORG}
    senders: secret, hmac; types: *
    questions: tool-calls
    forward: crm to example.com (*)
    2 gateways, since 2026-01-27 06:30:00
    another declaration in: gw-1
    refused 1,200: 401 wrong_secret, last 0 s ago
no endpoint
    refused 1: 404 not_found, last 0 s ago
gateway gw-0  1 endpoint, started 0 s ago
    file not usable: line 1: x
"""


def test_the_state_fits_into_80_columns(
    service: ScriptedService, ringback: Ringback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    NOW.FromDatetime(datetime.now(UTC))
    service.answer = answers(PAGE)

    ended = ringback("endpoints", "status", "--org", ORG)

    assert not ended.err
    shown = [_without_age(line) for line in ended.out.splitlines()]
    assert shown == [_without_age(line) for line in LINES.splitlines()]
    assert max(map(len, ended.out.splitlines())) <= 80
    assert service.requests[0].org_id == ORG


def _without_age(line: str) -> str:
    """How many seconds have passed since the test began depends on the machine."""
    start, found, _ = line.rstrip().partition(", last ")
    if not found:
        start, found, _ = line.rstrip().partition(", started ")
    return start + found


def test_no_gateway_runs(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(ListEndpointsResponse())

    assert ringback("endpoints", "status").out.strip() == (
        "No running gateway has reported an endpoint."
    )
