"""The pages Changes and Endpoints, rendered from answers of the API."""

from uuid import UUID

import pytest

from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1 import endpoint_pb2 as ep
from ringback.metrics.v1 import metrics_service_pb2 as api
from ringback.services.metrics.console.pages.changes import changes
from ringback.services.metrics.console.pages.endpoints import endpoints
from ringback.services.metrics.transport.errors import ApiError, Reason, unavailable
from tests.unit.cli.retried import DEAD, NEW, at
from tests.unit.metrics.console.rendered import TENANT, html, run

ORG = str(UUID(int=1))
SCRIPT = "<script>alert(1)</script>\u202e"

CHANGE = pb.Change(
    changed_at=at(0),
    actor=SCRIPT,
    role="service",
    action=pb.CHANGE_ACTION_RETRY,
    job_id=DEAD,
    new_job_id=NEW,
    run_id="run-1",
    reason=SCRIPT,
    details='{"run": "run-1"}',
)


async def test_changes_link_to_what_was_changed() -> None:
    """Text from outside stays text; the filters stay in the link of the next page."""
    page, [request] = await run(
        changes,
        api.ListChangesResponse(changes=[CHANGE], next_page_token="more"),
        query={"actor": "anna", "since": "2026-01-27T06:30", "page": "x"},
    )
    text = html(page)

    for path in (f"/webhooks/{DEAD}", f"/webhooks/{NEW}", "/runs/run-1"):
        assert f'href="/ops/console{path}"' in text
    assert "page=more&amp;actor=anna&amp;since=2026-01-27T06%3A30" in text
    assert "ringback changes --actor anna --since 2026-01-27T06:30" in text
    assert "changes?actor=anna&amp;startTime=2026-01-27T06:30:00.000Z<" in text
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert isinstance(request, api.ListChangesRequest)
    assert (request.actor, request.page_token) == ("anna", "x")
    assert request.start_time == at(0)


async def test_no_change_matches() -> None:
    page, [request] = await run(
        changes, api.ListChangesResponse(), query={"action": "run_duplicate"}
    )

    assert "No changes match." in html(page)
    assert isinstance(request, api.ListChangesRequest)
    assert request.action == pb.CHANGE_ACTION_RUN_DUPLICATE


@pytest.mark.parametrize(
    "query", [{"action": "nothing"}, {"since": "soon"}, {"until": "0001-01-01T00:00+14:00"}]
)
async def test_a_wrong_filter_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        await run(changes, api.ListChangesResponse(), query=query)

    assert caught.value.violations[0].field == next(iter(query))


ENDPOINTS = api.ListEndpointsResponse(
    endpoints=[
        ep.Endpoint(
            id="acme",
            org_id=str(UUID(int=1)),
            event_types=["*"],
            forwards=[ep.EndpointForward(name="crm", host=SCRIPT, event_types=["hang"])],
            gateways=[ep.EndpointGateway(host="gw-0", since=at(0), is_different=True)],
            refusals=[ep.Refusal(reason="wrong_secret", status=401, count=12, last_at=at(0))],
        )
    ],
    gateways=[ep.Gateway(id=DEAD, host="gw-0", file_problems=["line 1: no"], started_at=at(0))],
    unknown_endpoint_refusals=[ep.Refusal(reason="not_found", status=404, count=1, last_at=at(0))],
)


async def test_endpoints_are_shown_with_destinations() -> None:
    crm = pb.Destination(name="crm", state=pb.BREAKER_STATE_OPEN, last_error=SCRIPT, waiting=3)
    # It answers again: the last error tells why it did not.
    shop = pb.Destination(name="shop", state=pb.BREAKER_STATE_CLOSED, last_error="HTTP 503")
    answer = api.ListDestinationsResponse(destinations=[crm, shop])
    page, _ = await run(endpoints, ENDPOINTS, answer)
    text = html(page)

    for words in (
        "acme", "disabled", "anyone may send", "another declaration", "wrong_secret",
        "not_found", "not usable", "line 1: no", "ringback endpoints status",
        "ringback destinations list", 'id="destinations"', 'class="badge open"',
        "last error: <bdi>HTTP 503",
    ):  # fmt: skip
        assert words in text
    assert "<script>alert" not in text


async def test_a_source_that_is_away_leaves_the_rest() -> None:
    away = unavailable(Reason.DATABASE_UNAVAILABLE, "The database cannot be reached.")

    page, _ = await run(endpoints, ENDPOINTS, away)
    text = html(page)

    assert "The database cannot be reached." in text
    assert "acme" in text


async def test_endpoints_of_one_organisation_are_called_with_it() -> None:
    page, _ = await run(
        endpoints, ENDPOINTS, api.ListDestinationsResponse(), query={"org": ORG, "page": "x"}
    )
    text = html(page)

    assert f"ringback endpoints status --org {ORG}<" in text
    assert f"GET /api/webhook-metrics/endpoints?orgId={ORG}<" in text


async def test_a_tenant_sees_no_destinations() -> None:
    page, requests = await run(endpoints, api.ListEndpointsResponse(), principal=TENANT)
    text = html(page)

    assert "No running gateway has reported an endpoint." in text
    assert "Destinations" not in text
    assert len(requests) == 1
