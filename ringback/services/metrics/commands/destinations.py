"""Lists the services that handlers call, and keeps their breakers in a state."""

from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.admin_service_pb2 import SetDestinationRequest, SetDestinationResponse
from ringback.metrics.v1.delivery_pb2 import BreakerState, Destination
from ringback.metrics.v1.metrics_service_pb2 import (
    ListDestinationsRequest,
    ListDestinationsResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, Connection
from ringback.services.metrics.queries.delivery_message import Row, time_of
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import no_such_destination
from ringback.services.metrics.transport.request_reader import RequestReader


class Destinations:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def list_destinations(
        self, _request: ListDestinationsRequest, call: Call
    ) -> ListDestinationsResponse:
        async with self._access.reading(call) as connection:
            return ListDestinationsResponse(destinations=await _destinations(connection))

    async def set_destination(
        self, request: SetDestinationRequest, call: Call
    ) -> SetDestinationResponse:
        """The same state twice changes nothing. Raises ApiError."""
        reader = RequestReader(request)
        reason = reader.reason(required=True)
        reader.check()
        principal = call.principal
        async with self._access.changing(call) as connection:
            [row] = await connection.fetch(
                load("ringback.services.metrics.commands", "set_destination.sql"),
                request.name,
                words_of(BreakerState.DESCRIPTOR).get(request.forced_state),
                principal.actor,
                principal.role.value,
                reason,
            )
            if not row["is_known"]:
                raise no_such_destination(request.name)
            [destination] = await _destinations(connection, request.name)
        return SetDestinationResponse(destination=destination)


async def _destinations(connection: Connection, name: str | None = None) -> list[Destination]:
    sql = load("ringback.services.metrics.queries", "destinations.sql")
    return [_destination_of(row) for row in await connection.fetch(sql, name)]


def _destination_of(row: Row) -> Destination:
    return Destination(
        name=row["name"],
        state=row["state"],
        processors=row["processors"],
        processors_not_closed=row["processors_not_closed"],
        in_flight=row["in_flight"],
        last_error=row["last_error"],
        retry_at=time_of(row["retry_at"]),
        waiting=row["waiting"],
        forced_state=row["forced_state"],
        changed_at=time_of(row["changed_at"]),
        changed_by=row["changed_by"],
        reason=row["reason"],
    )
