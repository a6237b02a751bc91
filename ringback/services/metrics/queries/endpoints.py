"""Lists the endpoints that running gateways report: ListEndpoints."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import orjson
from google.protobuf.json_format import ParseDict

from ringback.metrics.v1.endpoint_pb2 import Endpoint, EndpointGateway, Gateway, Refusal
from ringback.metrics.v1.metrics_service_pb2 import ListEndpointsRequest, ListEndpointsResponse
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, Connection, restrict_to_org
from ringback.services.metrics.auth.principal import Role
from ringback.services.metrics.queries.delivery_message import Row, time_of
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "ringback.services.metrics.queries"
_NO_ENDPOINT = ""
"""Under which gateways count what no endpoint got."""

DEFAULT_PAGE, MAX_PAGE = 50, 100


class Endpoints:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def list_endpoints(
        self, request: ListEndpointsRequest, call: Call
    ) -> ListEndpointsResponse:
        """The endpoints of running gateways, by id. Raises ApiError."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_PAGE, maximum=MAX_PAGE)
        org_id = reader.uuid("org_id")
        after = (reader.page_key() or b"").decode(errors="replace").replace("\0", "")
        reader.check()

        scoped = restrict_to_org(call, org_id)
        if scoped is None:
            return ListEndpointsResponse()
        async with self._access.reading(scoped) as connection:
            # One extra endpoint shows whether there is a next page.
            rows = await connection.fetch(load(_PACKAGE, "endpoints.sql"), after, size + 1)
            found = [(one, list(same)) for one, same in groupby(rows, itemgetter("id"))]
            refusals = await _refusals(connection, [_NO_ENDPOINT, *(one for one, _ in found)])
            # The problems of a file may name endpoints of other organisations.
            sees_all = scoped.principal.role is Role.SERVICE
            gateways = await connection.fetch(load(_PACKAGE, "gateways.sql")) if sees_all else ()
        response = ListEndpointsResponse(
            endpoints=[_endpoint_of(same, refusals[one]) for one, same in found[:size]],
            gateways=map(_gateway_of, gateways),
            unknown_endpoint_refusals=refusals[_NO_ENDPOINT],
        )
        if len(found) > size:
            response.next_page_token = token_after(response.endpoints[-1].id.encode(), request)
        return response


async def _refusals(
    connection: Connection, endpoint_ids: Sequence[str]
) -> Mapping[str, list[Refusal]]:
    found: defaultdict[str, list[Refusal]] = defaultdict(list)
    sql = load(_PACKAGE, "endpoint_refusals.sql")
    for row in await connection.fetch(sql, endpoint_ids):
        found[row["endpoint_id"]].append(
            Refusal(
                reason=row["reason"],
                status=row["status"],
                count=row["count"],
                first_at=time_of(row["first_at"]),
                last_at=time_of(row["last_at"]),
            )
        )
    return found


def _endpoint_of(rows: Sequence[Row], refusals: Iterable[Refusal]) -> Endpoint:
    """One endpoint from the rows of its gateways, newest declaration first."""
    newest = rows[0]
    # A newer gateway may declare what this version does not know.
    endpoint = ParseDict(orjson.loads(newest["declared"]), Endpoint(), ignore_unknown_fields=True)
    known = Endpoint(
        id=newest["id"],
        org_id=str(newest["org_id"]),
        gateways=[
            EndpointGateway(
                gateway_id=str(row["gateway_id"]),
                host=row["host"],
                since=time_of(row["since"]),
                is_different=row["declared"] != newest["declared"],
            )
            for row in rows
        ],
        refusals=refusals,
    )
    endpoint.MergeFrom(known)
    return endpoint


def _gateway_of(row: Row) -> Gateway:
    return Gateway(
        id=str(row["id"]),
        host=row["host"],
        started_at=time_of(row["started_at"]),
        seen_at=time_of(row["seen_at"]),
        endpoint_count=row["endpoint_count"],
        file_problems=row["file_problems"],
    )
