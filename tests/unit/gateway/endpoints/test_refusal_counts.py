"""Refused requests are counted by endpoint and reason, in bounded memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from ringback.services.gateway.endpoints.endpoint import PATH, Endpoint
from ringback.services.gateway.endpoints.refusals import MAX_KINDS, RefusalCounts
from ringback.services.gateway.http.rejection import NOT_FOUND, TOO_LARGE
from tests.support.gateway_client import DEFAULT_ORG
from tests.unit.gateway.serving import HANG, serving

ACME = Endpoint("acme", UUID(int=1))


def test_the_newest_kinds_are_kept() -> None:
    """What is refused again is new."""
    seconds = count()
    counts = RefusalCounts(
        lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(seconds))
    )
    for number in range(MAX_KINDS):
        counts.add(ACME, replace(TOO_LARGE, reason=f"r{number}"))
    counts.add(ACME, replace(TOO_LARGE, reason="r0"))
    counts.add(None, NOT_FOUND)
    counts.add(None, NOT_FOUND)

    rows = {row["reason"]: row for row in counts.rows()}
    assert len(rows) == MAX_KINDS
    assert "r1" not in rows
    assert (rows["r0"]["count"], rows["r0"]["org_id"]) == (2, ACME.org_id)
    assert rows["r0"]["last_at"] - rows["r0"]["first_at"] == timedelta(seconds=MAX_KINDS)
    assert (rows["not_found"]["endpoint_id"], rows["not_found"]["count"]) == ("", 2)


async def test_a_refusal_counts_for_the_endpoint_of_its_path() -> None:
    """Whatever the reason; all paths without an endpoint count as one."""
    async with serving() as gateway:
        await gateway.send(HANG, headers={"X-Vapi-Secret": "wrong"})
        await gateway.send(b"[")
        await gateway.send(HANG)
        for name in ("x", "y"):
            await gateway.send(HANG, path=f"{PATH}/{name}")

    counted = {
        (row["endpoint_id"], row["status"]): (row["count"], row["org_id"])
        for row in gateway.refusals.rows()
    }
    assert counted == {
        ("default", 401): (1, UUID(DEFAULT_ORG)),
        ("default", 400): (1, UUID(DEFAULT_ORG)),
        ("", 404): (2, None),
    }
