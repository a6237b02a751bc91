"""The current endpoints."""

from collections.abc import Iterable, Mapping

from ringback.runtime.outgoing.remote_keys import RemoteKeySet
from ringback.services.gateway.endpoints.endpoint import Endpoint, routes_to
from ringback.services.gateway.endpoints.tokens import AccessToken, TokenClient


class EndpointTable:
    """The endpoints in use, replaced as a whole. A request keeps the endpoint it began with.

    What is found in all of them is collected once: there may be 100,000 endpoints.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._use(endpoints)

    def _use(self, endpoints: Iterable[Endpoint]) -> None:
        self.routes: Mapping[str, Endpoint] = routes_to(endpoints)
        tokens = [
            one
            for endpoint in self.endpoints()
            for one in endpoint.credentials
            if isinstance(one, AccessToken)
        ]
        self.key_sets: set[RemoteKeySet] = {
            one.keys for one in tokens if isinstance(one.keys, RemoteKeySet)
        }
        clients = (one.client for one in tokens if one.client is not None)
        self.token_clients: Mapping[str, TokenClient] = {one.client_id: one for one in clients}

    def endpoints(self) -> Iterable[Endpoint]:
        return self.routes.values()

    def replace(self, endpoints: Iterable[Endpoint]) -> list[str]:
        """Use these endpoints from now on. Returns the ids of those added, removed or changed."""
        before = {endpoint.id: endpoint for endpoint in self.endpoints()}
        self._use(endpoints)
        after = {endpoint.id: endpoint for endpoint in self.endpoints()}
        return sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
