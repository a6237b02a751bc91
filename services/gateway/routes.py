"""Which endpoint a path means."""

from collections.abc import Iterable, Mapping

from services.gateway.endpoint import DEFAULT_ENDPOINT_ID, Endpoint

PATH = "/api/webhooks/vapi"


def routes_of(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """Every path that takes webhooks. The default endpoint has two, one without its id."""
    routes = {f"{PATH}/{endpoint.id}": endpoint for endpoint in endpoints}
    default = routes.get(f"{PATH}/{DEFAULT_ENDPOINT_ID}")
    return routes if default is None else {PATH: default, **routes}
