"""What people changed: who, when and why."""

from collections.abc import Mapping
from datetime import UTC, datetime

from ringback.metrics.enum_words import numbers_of, words_of
from ringback.metrics.v1.delivery_pb2 import ChangeAction
from ringback.metrics.v1.metrics_service_pb2 import ListChangesRequest, ListChangesResponse
from ringback.services.metrics.console.page import Page, Route, Visit
from ringback.services.metrics.console.views.same_call import command, get_path
from ringback.services.metrics.transport.errors import Violation, invalid

ACTIONS = tuple(words_of(ChangeAction.DESCRIPTOR).values())
_FILTERS = ("action", "actor", "job", "org", "since", "until")
"""In the address of the page, named as the options of the command."""


async def changes(visit: Visit) -> Page:
    given = {name: value for name, value in visit.query.items() if value.strip()}
    request = _request(given)
    page = await visit.ask(request, ListChangesResponse)
    filters = {name: given[name] for name in _FILTERS if name in given}
    return Page(
        "changes.html",
        "Changes",
        {
            "changes": page.changes,
            "actions": ACTIONS,
            "filters": filters,
            "next_page_token": page.next_page_token,
            "command": command("changes", **filters),
            "api_path": get_path("changes", request),
        },
    )


def _request(given: Mapping[str, str]) -> ListChangesRequest:
    """Raises ApiError INVALID_ARGUMENT."""
    problems = []
    request = ListChangesRequest(
        page_token=given.get("page", ""),
        actor=given.get("actor", ""),
        job_id=given.get("job", ""),
        org_id=given.get("org", ""),
    )
    action = given.get("action")
    if action in ACTIONS:
        request.action = ChangeAction.ValueType(numbers_of(ChangeAction.DESCRIPTOR)[action])
    elif action is not None:
        problems.append(Violation("action", f"must be one of {', '.join(ACTIONS)}."))
    for name, time in (("since", request.start_time), ("until", request.end_time)):
        moment = _moment(given[name]) if name in given else None
        if moment is not None:
            time.FromDatetime(moment)
        elif name in given:
            problems.append(Violation(name, "must be a time such as 2026-01-27T06:30."))
    if problems:
        raise invalid(*problems)
    return request


def _moment(text: str) -> datetime | None:
    """In UTC, unless it has another offset."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


ROUTES = (Route("GET", "/changes", changes),)
