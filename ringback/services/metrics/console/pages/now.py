"""The first page: whether all is well now, what waits, and who changed something."""

import asyncio
from collections.abc import Iterable
from typing import Any

from ringback.metrics.v1.admin_service_pb2 import (
    PauseProcessingRequest,
    PauseProcessingResponse,
    ResumeProcessingRequest,
    ResumeProcessingResponse,
)
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryStatsRequest,
    GetDeliveryStatsResponse,
    GetQueueHealthRequest,
    GetQueueHealthResponse,
    HealthSource,
    ListChangesRequest,
    ListChangesResponse,
    ListDestinationsRequest,
    ListDestinationsResponse,
    ListRecentFailuresRequest,
    ListRecentFailuresResponse,
    ListWaitingRequest,
    ListWaitingResponse,
)
from ringback.services.metrics.console.page import Page, Redirect, Route, Visit
from ringback.services.metrics.console.views.queues import FULL_BAR, queue_rows
from ringback.services.metrics.transport.errors import ApiError

_ROWS = 5
_TRIES = 8
_TRY_EVERY_S = 0.25

_DONE = {
    "paused": "You paused processing. Webhooks are accepted and wait.",
    "resumed": "You resumed processing.",
}


async def now(visit: Visit) -> Page:
    """What the role may see. A part whose source is unavailable has an error in its place."""
    done = _DONE.get(visit.query.get("done", ""), "")
    return await (_of_service if visit.is_service else _of_tenant)(visit, done)


async def _of_service(visit: Visit, done: str) -> Page:
    # Together, so that an unavailable database delays the page only once.
    health, destinations, waiting, changes = await asyncio.gather(
        visit.try_to_ask(GetQueueHealthRequest(allow_stale=True), GetQueueHealthResponse),
        visit.try_to_ask(ListDestinationsRequest(), ListDestinationsResponse),
        visit.try_to_ask(ListWaitingRequest(page_size=_ROWS), ListWaitingResponse),
        visit.try_to_ask(ListChangesRequest(page_size=_ROWS), ListChangesResponse),
    )
    known = None if isinstance(health, ApiError) else health
    data = {
        "done": done,
        "health": health,
        **_sources(known.sources if known else ()),
        "verdict": _verdict(known) if known else "",
        "queues": queue_rows(known.queues) if known else [],
        "full_bar": FULL_BAR,
        "destinations": destinations,
        "waiting": waiting,
        "changes": changes,
    }
    return Page("now.html", "Now", data)


def _sources(sources: Iterable[HealthSource]) -> dict[str, Any]:
    """When each was read, and which do not answer now."""
    return {
        "sources": [source.name for source in sources],
        "ages": {source.name: source.read_at for source in sources if source.HasField("read_at")},
        "silent": [source.name for source in sources if not source.ok],
    }


def _verdict(health: GetQueueHealthResponse) -> str:
    if health.healthy:
        return "Healthy"
    silent = [
        f"the {source.name}"
        for source in health.sources
        if not source.ok and source.name != "management_api"
    ]
    if not silent:
        return "Not healthy"
    return f"Not healthy: {' and '.join(silent)} {'does' if len(silent) == 1 else 'do'} not answer"


async def _of_tenant(visit: Visit, done: str) -> Page:
    stats, failures, waiting, changes = await asyncio.gather(
        visit.try_to_ask(GetDeliveryStatsRequest(range="24h"), GetDeliveryStatsResponse),
        visit.try_to_ask(ListRecentFailuresRequest(limit=_ROWS), ListRecentFailuresResponse),
        visit.try_to_ask(ListWaitingRequest(page_size=_ROWS), ListWaitingResponse),
        visit.try_to_ask(ListChangesRequest(page_size=_ROWS), ListChangesResponse),
    )
    data = {
        "done": done,
        "stats": stats,
        "failures": failures,
        "waiting": waiting,
        "changes": changes,
    }
    return Page("now_tenant.html", "Now", data)


async def pause(visit: Visit) -> Redirect:
    reason = visit.form.get("reason", "")
    await visit.ask(PauseProcessingRequest(reason=reason), PauseProcessingResponse)
    await _wait_until_shown(visit, paused=True)
    return Redirect("/", {"done": "paused"})


async def resume(visit: Visit) -> Redirect:
    reason = visit.form.get("reason", "")
    await visit.ask(ResumeProcessingRequest(reason=reason), ResumeProcessingResponse)
    await _wait_until_shown(visit, paused=False)
    return Redirect("/", {"done": "resumed"})


async def _wait_until_shown(visit: Visit, *, paused: bool) -> None:
    """Return when the numbers of the next page have the change, or after about two seconds."""
    for _ in range(_TRIES):
        health = await visit.try_to_ask(
            GetQueueHealthRequest(allow_stale=True), GetQueueHealthResponse
        )
        if isinstance(health, ApiError) or health.processing.paused == paused:
            return
        await asyncio.sleep(_TRY_EVERY_S)


ROUTES = (
    Route("GET", "/", now),
    Route("POST", "/processing/pause", pause),
    Route("POST", "/processing/resume", resume),
)
