"""Which endpoint a path means."""

import posixpath
from collections.abc import Container, Iterable, Mapping

from aiohttp import web

from services.gateway.endpoint import DEFAULT_ENDPOINT_ID, Endpoint

PATH = "/api/webhooks/vapi"


def routes_of(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """Every path that takes webhooks. The default endpoint has two, one without its id."""
    routes = {f"{PATH}/{endpoint.id}": endpoint for endpoint in endpoints}
    default = routes.get(f"{PATH}/{DEFAULT_ENDPOINT_ID}")
    return routes if default is None else {PATH: default, **routes}


def route_of(request: web.BaseRequest, routes: Container[str]) -> str | None:
    """The one of these paths that a request means, also with slashes or blanks too many."""
    if request.raw_path in routes:
        return request.raw_path
    path = posixpath.normpath("/" + request.path.strip().lstrip("/"))
    return path if path in routes else None
