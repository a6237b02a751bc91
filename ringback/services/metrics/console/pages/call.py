"""All webhooks of one call, in the order of arrival or of the times that their events state."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain, pairwise

import orjson

from ringback.contract.event import value_at
from ringback.contract.loose_values import time_of
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
)
from ringback.services.metrics.console.page import Page, Route, Visit
from ringback.services.metrics.console.views.query import Term, command_of
from ringback.services.metrics.console.views.text import number
from ringback.services.metrics.transport.errors import ApiError

PAGE_SIZE = 100
MAX_PAGES = 5
MAX_EVENTS = 50
"""Events that are read for their times."""

MAX_CHARS = 2**20
"""Longer events are not read for their times."""

EVENTS_TIMEOUT_S = 3.0
_AT_ONCE = 5
LONG_GAP_S = 30.0
_OWN_TIMES = ("message.timestamp", "timestamp")


@dataclass(frozen=True, slots=True)
class Row:
    """`gap_s` is the time since the row before, if that is long; `own` is the time in its event."""

    delivery: Delivery
    own: datetime | None
    gap_s: float | None


async def call(visit: Visit) -> Page:
    call_id = visit.variables["call_id"]
    deliveries, is_cut = await _deliveries(visit, call_id)
    is_by_own = visit.query.get("order") == "own"
    own = await _own_times(visit, deliveries) if is_by_own else {}
    data = {
        "call_id": call_id,
        "rows": rows_of(deliveries, own),
        "found": f"{number(len(deliveries))} webhook{'' if len(deliveries) == 1 else 's'}, "
        + ("by the times in their events" if is_by_own else "in order of arrival"),
        "is_cut": is_cut,
        "is_by_own": is_by_own,
        "unread": len(deliveries) - len(own) if is_by_own else 0,
        "command": command_of([Term("call", call_id)]),
        "all_text": Term("call", call_id).text,
    }
    status = HTTPStatus.OK if deliveries else HTTPStatus.NOT_FOUND
    return Page("call.html", "Call", data, status=status)


ROUTES = (Route("GET", "/calls/{call_id}", call),)


def rows_of(deliveries: Iterable[Delivery], own: Mapping[str, datetime | None]) -> list[Row]:
    """The rows in order of time: `own` by job id, or that of arrival where there is none."""
    timed = sorted(
        (
            (own.get(each.job_id) or each.created_at.ToDatetime(tzinfo=UTC), each)
            for each in deliveries
        ),
        key=lambda pair: (pair[0], pair[1].job_id),
    )
    gaps = ((after - before).total_seconds() for (before, _), (after, _) in pairwise(timed))
    return [
        Row(each, own.get(each.job_id), gap if gap >= LONG_GAP_S else None)
        for (_, each), gap in zip(timed, chain([0.0], gaps), strict=False)
    ]


async def _deliveries(visit: Visit, call_id: str) -> tuple[list[Delivery], bool]:
    """The newest webhooks of a call, and whether there are more."""
    found: list[Delivery] = []
    token = ""
    for _ in range(MAX_PAGES):
        request = ListDeliveriesRequest(call_id=call_id, page_size=PAGE_SIZE, page_token=token)
        answer = await visit.ask(request, ListDeliveriesResponse)
        found += answer.deliveries
        token = answer.next_page_token
        if not token:
            break
    return found, bool(token)


async def _own_times(visit: Visit, deliveries: list[Delivery]) -> dict[str, datetime | None]:
    """The times in the events of the oldest webhooks, as many as can be read in time."""
    times: dict[str, datetime | None] = {}
    loop = asyncio.get_running_loop()
    end = loop.time() + EVENTS_TIMEOUT_S
    oldest = deliveries[: -MAX_EVENTS - 1 : -1]
    for start in range(0, len(oldest), _AT_ONCE):
        if loop.time() > end:
            break
        requests = [GetDeliveryRequest(job_id=each.job_id) for each in oldest[start:][:_AT_ONCE]]
        answers = await asyncio.gather(
            *(visit.try_to_ask(request, GetDeliveryResponse) for request in requests)
        )
        times |= {
            request.job_id: _own_time(answer.delivery)
            for request, answer in zip(requests, answers, strict=True)
            if not isinstance(answer, ApiError) and len(answer.delivery.event_data) <= MAX_CHARS
        }
    return times


def _own_time(delivery: Delivery) -> datetime | None:
    try:
        event = orjson.loads(delivery.event_data)
    except orjson.JSONDecodeError:
        return None
    now = datetime.now(UTC)
    times = (time_of(value_at(event, path), now) for path in _OWN_TIMES)
    return next((time for time in times if time), None)
