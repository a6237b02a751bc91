"""The page of a call: its webhooks in order, with the gaps between them."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeliveriesResponse,
)
from ringback.services.metrics.console.page import Page
from ringback.services.metrics.console.pages.call import MAX_CHARS, MAX_PAGES, call
from ringback.services.metrics.transport.errors import no_such_delivery
from tests.unit.metrics.console.rendered import html, run

START = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)
CALL = {"call_id": "../<script>\u202e"}


def arrived(seconds: float, own: float | None = None) -> Delivery:
    moment = Timestamp()
    moment.FromDatetime(START + timedelta(seconds=seconds))
    event = {} if own is None else {"message": {"timestamp": (START.timestamp() + own) * 1000}}
    job_id = str(UUID(int=int(seconds) + 1))
    return Delivery(job_id=job_id, created_at=moment, event_data=json.dumps(event))


def order_of(page: object) -> list[tuple[int, float | None]]:
    """The second at which each webhook arrived, and the gap before it."""
    assert isinstance(page, Page)
    return [(UUID(row.delivery.job_id).int - 1, row.gap_s) for row in page.data["rows"]]


async def test_webhooks_are_in_the_order_of_arrival_with_their_gaps() -> None:
    newest_first = [arrived(300), arrived(60), arrived(31), arrived(30), arrived(0)]
    pages = (
        ListDeliveriesResponse(deliveries=newest_first[:2], next_page_token="more"),
        ListDeliveriesResponse(deliveries=newest_first[2:]),
    )

    page, [_, second] = await run(call, *pages, variables=CALL)

    assert order_of(page) == [(0, None), (30, 30), (31, None), (60, None), (300, 240)]
    assert getattr(second, "page_token", "") == "more"
    text = html(page)
    assert "4 min without an event" in text
    assert "<script>\u202e" not in text
    assert "newest ones" not in text


async def test_webhooks_are_in_the_order_of_their_own_times() -> None:
    """One whose event has none, or is not read, is at the time of its arrival."""
    newest_first = [arrived(5, own=1), arrived(4), arrived(3, own=2), arrived(2)]
    events = [GetDeliveryResponse(delivery=each) for each in reversed(newest_first)]
    events[2].delivery.event_data += " " * MAX_CHARS

    page, requests = await run(
        call,
        ListDeliveriesResponse(deliveries=newest_first),
        no_such_delivery("x"),
        *events[1:],
        variables=CALL,
        query={"order": "own"},
    )

    assert [second for second, _ in order_of(page)] == [5, 2, 3, 4]
    assert sum(isinstance(request, GetDeliveryRequest) for request in requests) == 4
    assert "Not read: 2 of" in html(page)


@pytest.mark.parametrize(("count", "status"), [(0, 404), (1, 200)])
async def test_a_call_without_a_webhook_is_not_found(count: int, status: int) -> None:
    answer = ListDeliveriesResponse(deliveries=[arrived(0)] * count)

    page, _ = await run(call, answer, variables=CALL)

    assert isinstance(page, Page)
    assert page.status == status
    assert html(page)


async def test_of_a_long_call_the_newest_webhooks_are_shown() -> None:
    answer = ListDeliveriesResponse(deliveries=[arrived(0)], next_page_token="more")

    page, requests = await run(call, *[answer] * MAX_PAGES, variables=CALL)

    assert len(requests) == MAX_PAGES
    assert "newest ones" in html(page)
