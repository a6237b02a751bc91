"""Dead letters by error and event type, and the rows of one group."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
    RetryDeliveryRequest,
    RetryDeliveryResponse,
)
from ringback.metrics.v1.delivery_pb2 import Delivery, DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListFailureGroupsRequest,
    ListFailureGroupsResponse,
    ListRecentFailuresRequest,
    ListRecentFailuresResponse,
)
from ringback.services.metrics.console.page import Page, Redirect, Route, Visit
from ringback.services.metrics.console.views.same_call import command, get_path
from ringback.services.metrics.transport.errors import ApiError

MAX_GROUPS = 1000
PAGE_SIZE = 50
_NEW = timedelta(days=1)
_SELECTED = "job-"
_COUNT = re.compile(r"[0-9]{1,3}")


async def failures(visit: Visit) -> Page:
    """All groups, those with the newest failure first, and what is still retried."""
    groups = await visit.ask(
        ListFailureGroupsRequest(page_size=MAX_GROUPS, page_token=visit.query.get("after", "")),
        ListFailureGroupsResponse,
    )
    recent = await visit.try_to_ask(
        ListRecentFailuresRequest(limit=PAGE_SIZE), ListRecentFailuresResponse
    )
    since = datetime.now(UTC) - _NEW
    data = {
        "groups": sorted(groups.groups, key=_last_seen, reverse=True),
        "new": {_key(group) for group in groups.groups if _first_seen(group) > since},
        "key": _key,
        "next_token": groups.next_page_token,
        "recent": recent,
    }
    return Page("failures.html", "Failures", data)


async def group(visit: Visit) -> Page:
    """The dead letters of one group. `?tried=` is the retry that somebody made of one of them."""
    event_type, error_class = visit.query.get("type", ""), visit.query.get("error", "")
    request = ListDeadLettersRequest(
        page_size=PAGE_SIZE,
        page_token=visit.query.get("after", ""),
        event_type=event_type,
        error_class=error_class,
        omit_events=True,
    )
    letters = await visit.ask(request, ListDeadLettersResponse)
    tried_id = visit.query.get("tried", "")
    tried: GetDeliveryResponse | ApiError | None = None
    if tried_id:
        tried = await visit.try_to_ask(GetDeliveryRequest(job_id=tried_id), GetDeliveryResponse)
    data = {
        "event_type": event_type,
        "error_class": error_class,
        "letters": letters,
        "tried": tried,
        "hint": "" if tried is None or isinstance(tried, ApiError) else _hint(tried.delivery),
        "done": _done(visit.query),
        "command": command("dead", "list", event_type=event_type, error_class=error_class),
        "api_path": get_path("dead-letter-queue", request),
    }
    return Page("failure_group.html", error_class or event_type or "Dead letters", data)


async def retry_one(visit: Visit) -> Redirect:
    """Retry one of a group, to see whether the rest would complete."""
    request = RetryDeliveryRequest(
        job_id=visit.form.get("job_id", ""),
        reason=visit.form.get("reason", ""),
        request_id=visit.form.get("request_id", ""),
    )
    answer = await visit.ask(request, RetryDeliveryResponse)
    return Redirect("/failures/group", {**_group_of(visit), "tried": answer.new_job_id})


async def decide(visit: Visit) -> Redirect:
    """Retry or discard the selected rows. Those that somebody decided meanwhile are skipped.

    Raises ApiError, which says how many were decided before.
    """
    done = skipped = 0
    selected = _selected(visit.form)
    for job_id in selected:
        try:
            await _decide(visit, job_id)
            done += 1
        except ApiError as error:
            if error.code.name not in {"ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND"}:
                sentence = (
                    f"{error.message} Before that, {done} of {len(selected)} were decided. "
                    "Go back and reload the page: it shows those that still wait."
                )
                raise replace(error, message=sentence) from error
            skipped += 1
    counts = {"done": str(done), "skipped": str(skipped or "")}
    return Redirect("/failures/group", {**_group_of(visit), **counts})


async def _decide(visit: Visit, job_id: str) -> None:
    reason = visit.form.get("reason", "")
    if visit.form.get("decision") == "discard":
        discard = DiscardDeadLetterRequest(job_id=job_id, reason=reason)
        await visit.ask(discard, DiscardDeadLetterResponse)
    else:
        await visit.ask(RetryDeliveryRequest(job_id=job_id, reason=reason), RetryDeliveryResponse)


def _selected(form: Mapping[str, str]) -> list[str]:
    ids = [name.removeprefix(_SELECTED) for name in form if name.startswith(_SELECTED)]
    return ids[:PAGE_SIZE]


def _hint(tried: Delivery) -> str:
    """What the result of the one that was retried means for the rest."""
    match tried.status:
        case DeliveryStatus.DELIVERY_STATUS_COMPLETED:
            return "It completed."
        case DeliveryStatus.DELIVERY_STATUS_PENDING | DeliveryStatus.DELIVERY_STATUS_PROCESSING:
            return "It is on its way. If it completes, the rest can be retried here."
        case _:
            return "It failed again, so the rest would probably fail too."


def _done(query: Mapping[str, str]) -> str:
    """What came of a decision. Numbers that no page made are ignored."""
    done, skipped = query.get("done", ""), query.get("skipped", "")
    if not _COUNT.fullmatch(done):
        return ""
    sentence = f"{int(done)} decided."
    if _COUNT.fullmatch(skipped):
        sentence += f" {int(skipped)} skipped: somebody had decided them already."
    return sentence


def _group_of(visit: Visit) -> dict[str, str]:
    return {name: visit.form.get(name, "") for name in ("type", "error")}


def _key(group: FailureGroup) -> tuple[str, str]:
    return group.event_type, group.error_class


def _first_seen(group: FailureGroup) -> datetime:
    return group.first_seen.ToDatetime(tzinfo=UTC)


def _last_seen(group: FailureGroup) -> datetime:
    return group.last_seen.ToDatetime(tzinfo=UTC)


ROUTES = (
    Route("GET", "/failures", failures),
    Route("GET", "/failures/group", group),
    Route("POST", "/failures/retry-one", retry_one),
    Route("POST", "/failures/decide", decide),
)
