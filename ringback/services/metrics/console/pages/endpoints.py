"""The endpoints of running gateways, what they refused, and the services that are called."""

from ringback.metrics.v1.metrics_service_pb2 import (
    ListDestinationsRequest,
    ListDestinationsResponse,
    ListEndpointsRequest,
    ListEndpointsResponse,
)
from ringback.services.metrics.console.page import Page, Route, Visit
from ringback.services.metrics.console.views.same_call import command, get_path


async def endpoints(visit: Visit) -> Page:
    """Destinations belong to the whole installation: a tenant does not see them."""
    token, org_id = visit.query.get("page", ""), visit.query.get("org", "").strip()
    request = ListEndpointsRequest(page_token=token, org_id=org_id)
    listed = await visit.try_to_ask(request, ListEndpointsResponse)
    destinations = (
        await visit.try_to_ask(ListDestinationsRequest(), ListDestinationsResponse)
        if visit.is_service
        else None
    )
    data = {
        "listed": listed,
        "destinations": destinations,
        "org": org_id,
        "command": command("endpoints", "status", org=org_id),
        "api_path": get_path("endpoints", request),
    }
    return Page("endpoints.html", "Endpoints", data)


ROUTES = (Route("GET", "/endpoints", endpoints),)
