"""One webhook: its whole story, its event, and what a person can do about it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ringback.metrics.v1.admin_service_pb2 import (
    CancelWaitingRequest,
    CancelWaitingResponse,
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
    ReleaseWaitingRequest,
    ReleaseWaitingResponse,
    RetryDeliveryRequest,
    RetryDeliveryResponse,
    RunDuplicateRequest,
    RunDuplicateResponse,
)
from ringback.metrics.v1.delivery_pb2 import Delivery, DeliveryStatus, Resolution
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    GetQueueHealthRequest,
    GetQueueHealthResponse,
    ListChangesRequest,
    ListChangesResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
)
from ringback.services.metrics.console.page import Download, Page, Redirect, Route, Show, Visit
from ringback.services.metrics.console.views.diff import Diff, diff_of
from ringback.services.metrics.console.views.payload import Payload, payload_of
from ringback.services.metrics.console.views.story import Step, story, summary, why_it_waits
from ringback.services.metrics.console.views.text import short_id
from ringback.services.metrics.console.views.waterfall import waterfall
from ringback.services.metrics.transport.errors import ApiError, Reason, no_such_delivery
from ringback.services.metrics.transport.problem import NO_SUCH_PATH

MAX_FOLLOWED = 5
"""Retries before and after this webhook that its page shows."""

_JOB_ID_LENGTH = 36
_NOT_STORED = (
    "The event is not in the log yet: it is written with the first attempt. Try again after it."
)
_UNFINISHED = frozenset(
    {
        DeliveryStatus.DELIVERY_STATUS_PENDING,
        DeliveryStatus.DELIVERY_STATUS_PROCESSING,
        DeliveryStatus.DELIVERY_STATUS_FAILED,
    }
)
_DONE = {
    "retried": "It was retried.",
    "discarded": "It was discarded. Its event and attempts stay in the log.",
    "run": "It runs as a new webhook.",
    "already": "It was retried before, so nothing was changed.",
    "released": "Its next attempt is due now.",
    "cancelled": "It was cancelled, and becomes a dead letter in moments.",
}


@dataclass(frozen=True, slots=True)
class Action:
    """A form that posts to the path `verb` below that of the webhook, and its button.

    `key` presses it, `kind` is a class of the style sheet, `sentence` says what it does.
    """

    verb: str
    text: str
    key: str
    kind: str
    sentence: str
    needs_reason: bool = True
    warnings: Sequence[str] = ()


_RETRY = Action(
    *("retry", "Retry", "r", "main"),
    "A new webhook with the same event runs from its first attempt.",
    needs_reason=False,
)
_DISCARD = Action(
    *("discard", "Discard", "d", "danger"),
    "It is no longer counted as a dead letter. This cannot be undone.",
)
_RUN = Action(
    *("run", "Run it anyway", "r", "main"),
    "A new webhook runs this event, although the same one arrived before.",
)
_RELEASE = Action(
    *("release", "Try now", "r", "main"),
    "Its next attempt becomes due. The breaker and the pace of a destination still apply.",
)
_CANCEL = Action(
    *("cancel", "Cancel", "d", "danger"), "It becomes a dead letter, without another attempt."
)
_REDACTED = "Credentials were removed from the event: handlers do not get them."
_ALTERED = "A part of the event could not be stored as it arrived: handlers get the stored one."


@dataclass(frozen=True, slots=True)
class Chapter:
    """One webhook of a chain of retries."""

    found: GetDeliveryResponse
    steps: list[Step]
    is_this: bool


async def webhook(visit: Visit) -> Page | Redirect:
    job_id = visit.variables["job_id"]
    if len(job_id) != _JOB_ID_LENGTH:
        return await _whole_id(visit, job_id)
    found = await visit.ask(GetDeliveryRequest(job_id=job_id), GetDeliveryResponse)
    chain = await _chain(visit, found)
    delivery, newest = found.delivery, chain[-1].delivery
    now = datetime.now(UTC)
    payload = await _payload(found)
    data = {
        "found": found,
        "delivery": delivery,
        "chapters": await _chapters(visit, chain, found),
        "earlier_id": chain[0].delivery.retry_of,
        "later_id": newest.retried_as,
        "rows": waterfall(chain, now),
        "why": why_it_waits(delivery, await _health(visit, delivery)),
        "payload": payload,
        **await _compared(visit, delivery, payload),
        "notice_text": _DONE.get(visit.query.get("done", ""), ""),
        "newest": newest,
        "is_final": not any(_may_change(each.delivery) for each in chain),
        "summary": summary(delivery),
        "actions": _actions(delivery),
    }
    return Page("webhook.html", f"Webhook {short_id(delivery.job_id)}", data)


async def payload_file(visit: Visit) -> Download:
    request = GetDeliveryRequest(job_id=visit.variables["job_id"])
    delivery = (await visit.ask(request, GetDeliveryResponse)).delivery
    if not delivery.HasField("event_data"):
        raise replace(NO_SUCH_PATH, message=_NOT_STORED)
    return Download(f"{delivery.job_id}.json", delivery.event_data.encode())


def _change(kind: type[Any], answer: type[Any], done: str) -> Show:
    """Make a change by a request of this kind, and show the webhook with the notice `done`."""

    async def change(visit: Visit) -> Redirect:
        job_id, form = visit.variables["job_id"], visit.form
        request = kind(job_id=job_id, reason=form.get("reason", "").strip())
        if "request_id" in kind.DESCRIPTOR.fields_by_name:
            request.request_id = form.get("request_id", "")
        query = {"done": done}
        try:
            await visit.ask(request, answer)
        except ApiError as error:
            if error.reason is not Reason.ALREADY_RETRIED:
                raise
            query = {"done": "already"}
        return Redirect(f"/webhooks/{quote(job_id, safe='')}", query)

    return change


ROUTES = (
    Route("GET", "/webhooks/{job_id}", webhook),
    Route("GET", "/webhooks/{job_id}/payload.json", payload_file),
    Route(
        "POST",
        "/webhooks/{job_id}/retry",
        _change(RetryDeliveryRequest, RetryDeliveryResponse, "retried"),
    ),
    Route(
        "POST",
        "/webhooks/{job_id}/discard",
        _change(DiscardDeadLetterRequest, DiscardDeadLetterResponse, "discarded"),
    ),
    Route(
        "POST",
        "/webhooks/{job_id}/run",
        _change(RunDuplicateRequest, RunDuplicateResponse, "run"),
    ),
    Route(
        "POST",
        "/webhooks/{job_id}/release",
        _change(ReleaseWaitingRequest, ReleaseWaitingResponse, "released"),
    ),
    Route(
        "POST",
        "/webhooks/{job_id}/cancel",
        _change(CancelWaitingRequest, CancelWaitingResponse, "cancelled"),
    ),
)


async def _whole_id(visit: Visit, beginning: str) -> Redirect:
    request = ListDeliveriesRequest(job_id_prefix=beginning, page_size=2)
    answer = await visit.ask(request, ListDeliveriesResponse)
    match answer.deliveries:
        case []:
            raise no_such_delivery(beginning)
        case [only]:
            return Redirect(f"/webhooks/{only.job_id}")
        case _:
            return Redirect("/search", {"q": f"job:{beginning}"})


async def _chain(visit: Visit, found: GetDeliveryResponse) -> list[GetDeliveryResponse]:
    """The webhook with its earlier and later retries, oldest first, as far as the log has them."""
    later = await _follow(visit, found, "retried_as", MAX_FOLLOWED)
    earlier = await _follow(visit, found, "retry_of", MAX_FOLLOWED - len(later))
    return [*reversed(earlier), found, *later]


async def _follow(
    visit: Visit, found: GetDeliveryResponse, field: str, limit: int
) -> list[GetDeliveryResponse]:
    """The webhooks that this field leads to, one after the other."""
    chain: list[GetDeliveryResponse] = []
    while len(chain) < limit and (job_id := getattr((chain or [found])[-1].delivery, field)):
        answer = await visit.try_to_ask(GetDeliveryRequest(job_id=job_id), GetDeliveryResponse)
        if isinstance(answer, ApiError):
            break
        chain.append(answer)
    return chain


async def _chapters(
    visit: Visit, chain: Sequence[GetDeliveryResponse], found: GetDeliveryResponse
) -> list[Chapter]:
    request = ListChangesRequest(job_id=found.delivery.job_id, page_size=20)
    changes = await visit.try_to_ask(request, ListChangesResponse)
    known = () if isinstance(changes, ApiError) else changes.changes
    return [
        Chapter(each, story(each, known if each is found else ()), each is found) for each in chain
    ]


async def _health(visit: Visit, delivery: Delivery) -> GetQueueHealthResponse | None:
    if not visit.is_service or delivery.status not in _UNFINISHED:
        return None
    answer = await visit.try_to_ask(GetQueueHealthRequest(), GetQueueHealthResponse)
    return None if isinstance(answer, ApiError) else answer


async def _payload(found: GetDeliveryResponse) -> Payload | None:
    """In a thread: an event may have megabytes."""
    delivery = found.delivery
    if not delivery.HasField("event_data"):
        return None
    return await asyncio.to_thread(payload_of, delivery.event_data, is_altered=delivery.altered)


async def _compared(
    visit: Visit, delivery: Delivery, payload: Payload | None
) -> dict[str, Diff | ApiError | None]:
    """How a duplicate's event differs from the first one."""
    if not delivery.duplicate_of or payload is None:
        return {"diff": None}
    request = GetDeliveryRequest(job_id=delivery.duplicate_of)
    first = await visit.try_to_ask(request, GetDeliveryResponse)
    if isinstance(first, ApiError):
        return {"diff": first}
    before = await _payload(first)
    return {"diff": await asyncio.to_thread(diff_of, before, payload) if before else None}


def _may_change(delivery: Delivery) -> bool:
    is_open = (
        delivery.status == DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER
        and delivery.resolution == Resolution.RESOLUTION_UNSPECIFIED
    )
    return is_open or delivery.status in _UNFINISHED


def _actions(delivery: Delivery) -> list[Action]:
    """What the state of the webhook allows. The API decides; this only leaves buttons out."""
    is_open = delivery.resolution == Resolution.RESOLUTION_UNSPECIFIED
    warnings = [
        *([_REDACTED] if delivery.redacted else []),
        *([_ALTERED] if delivery.altered else []),
    ]
    if delivery.HasField("waiting"):
        return [_RELEASE, _CANCEL]
    if delivery.status == DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER and is_open:
        return [replace(_RETRY, warnings=warnings), _DISCARD]
    if delivery.status == DeliveryStatus.DELIVERY_STATUS_DUPLICATE and is_open:
        return [replace(_RUN, warnings=warnings)]
    return []
