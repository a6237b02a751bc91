"""Destinations that processors report, and what people decide about them."""

from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from ringback.metrics.v1.admin_service_pb2 import SetDestinationRequest
from ringback.metrics.v1.delivery_pb2 import BreakerState, Destination
from ringback.metrics.v1.metrics_service_pb2 import ListDestinationsRequest
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.commands.destinations import Destinations
from tests.integration.metrics.queried_log import as_org

CLOSED = BreakerState.BREAKER_STATE_CLOSED
HALF_OPEN = BreakerState.BREAKER_STATE_HALF_OPEN
OPEN = BreakerState.BREAKER_STATE_OPEN
AUTOMATIC = BreakerState.BREAKER_STATE_UNSPECIFIED


def report(name: str, state: str = "closed", **changes: Any) -> dict[str, Any]:
    values = {"in_flight": 0, "last_error": None, "retry_at": None}
    return {"name": name, "state": state, **values, **changes}


async def beat(
    database: asyncpg.Connection, *reports: dict[str, Any], ago: str = "-1 hour"
) -> None:
    """A processor reports this, or did so some time ago; by default it stays fresh."""
    job_id = uuid4()
    await database.execute(
        "SELECT record_webhook_heartbeat($1, 0, false, now(), $2::text::jsonb)",
        job_id,
        orjson.dumps(reports).decode(),
    )
    await database.execute(
        "UPDATE webhook_processors SET seen_at = now() - $2::text::interval WHERE id = $1",
        job_id,
        ago,
    )


@pytest.fixture
def destinations(access: Access) -> Destinations:
    return Destinations(access)


async def listed(destinations: Destinations) -> list[Destination]:
    answer = await destinations.list_destinations(ListDestinationsRequest(), as_org())
    return list(answer.destinations)


async def test_processors_are_summed_and_the_worst_state_is_shown(
    log: asyncpg.Connection, destinations: Destinations
) -> None:
    """A processor that is silent is not counted."""
    late, soon = "2026-11-29T12:00:10Z", "2026-11-29T12:00:05Z"
    await beat(log, report("shop", in_flight=2, last_error="OldError"))
    await beat(
        log,
        report("shop", "open", in_flight=1, last_error="HTTP 503", retry_at=late),
        report("crm", "half_open"),
    )
    await beat(log, report("shop", "open", last_error="HTTP 503", retry_at=soon))
    await beat(log, report("shop"), report("gone"), ago="11 s")

    crm, shop = await listed(destinations)

    assert (crm.name, crm.state, crm.processors, crm.processors_not_closed) == (
        "crm", HALF_OPEN, 1, 1,
    )  # fmt: skip
    assert (shop.state, shop.processors, shop.processors_not_closed) == (OPEN, 3, 2)
    assert (shop.in_flight, shop.last_error) == (3, "HTTP 503")
    assert shop.retry_at.ToJsonString() == soon
    assert (shop.forced_state, shop.HasField("changed_at")) == (AUTOMATIC, False)


async def test_what_waits_is_counted_by_destination(
    log: asyncpg.Connection, destinations: Destinations
) -> None:
    """Also for a destination that no processor has any more."""
    await beat(log, report("shop"))
    for name in ("shop", "shop", "old", None):
        await log.execute(
            "INSERT INTO webhook_waits (delivery_id, attempt, org_id, event_type, reason,"
            " destination, due_at, headers, body)"
            " VALUES ($1, 1, $1, 'hang', 'destination', $2, now(), '{}', '')",
            uuid4(),
            name,
        )

    found = await listed(destinations)

    assert [(one.name, one.state, one.waiting) for one in found] == [
        ("old", AUTOMATIC, 1),
        ("shop", CLOSED, 2),
    ]


async def test_a_decision_is_shown_with_who_and_why(
    log: asyncpg.Connection, destinations: Destinations
) -> None:
    """Also while no processor reports the destination, and after the decision has ended."""
    await beat(log, report("shop"))

    async def decide(state: BreakerState.ValueType) -> Destination:
        request = SetDestinationRequest(name="shop", forced_state=state, reason=" Maintenance. ")
        answer = await destinations.set_destination(request, as_org())
        return answer.destination

    opened = await decide(OPEN)
    await log.execute("DELETE FROM webhook_processors")
    ended = await decide(AUTOMATIC)

    assert (opened.forced_state, opened.reason) == (OPEN, "Maintenance.")
    assert (opened.state, opened.processors) == (CLOSED, 1)
    assert (ended.forced_state, ended.state, ended.processors) == (AUTOMATIC, AUTOMATIC, 0)
    actions = await log.fetch("SELECT action FROM webhook_audit")
    assert [line["action"] for line in actions] == ["set_destination"] * 2
