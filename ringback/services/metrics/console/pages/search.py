"""Search of webhooks by qualifiers, newest first."""

from datetime import UTC, datetime
from typing import Any

from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest, ListDeliveriesResponse
from ringback.services.metrics.console.page import Page, Redirect, Result, Route, Visit
from ringback.services.metrics.console.views.query import (
    QUALIFIERS,
    command_of,
    parse,
    text_of,
    with_fixed_times,
)
from ringback.services.metrics.console.views.same_call import get_path

PAGE_SIZE = 50


async def search(visit: Visit) -> Result:
    """`?q=` is the text of the search box, `?after=` the token of the next page."""
    now = datetime.now(UTC)
    text = visit.query.get("q", "").strip()
    query = parse(text, now)
    data: dict[str, Any] = {
        "text": text,
        "problems": query.problems,
        "qualifiers": [(f"{name}:", meaning) for name, meaning in QUALIFIERS.items()],
        "found": None,
    }
    if query.problems:
        return Page("search.html", "Search", data, status=400)
    request = ListDeliveriesRequest(page_size=PAGE_SIZE, page_token=visit.query.get("after", ""))
    request.MergeFrom(query.request)
    found = await visit.ask(request, ListDeliveriesResponse)
    is_one_job = [term.qualifier for term in query.terms] == ["job"]
    if is_one_job and len(found.deliveries) == 1 and not found.next_page_token:
        return Redirect(f"/webhooks/{found.deliveries[0].job_id}")
    fixed = with_fixed_times(query.terms, now)
    data |= {
        "found": found,
        "next_text": text_of(fixed),
        "command": command_of(fixed),
        "api_path": get_path("deliveries", query.request),
        "is_all": not query.terms,
        "has_bare_words": any(not term.name for term in query.terms),
    }
    return Page("search.html", "Search", data)


ROUTES = (Route("GET", "/search", search),)
