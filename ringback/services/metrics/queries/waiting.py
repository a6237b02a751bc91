"""Lists the webhooks that wait in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import Delivery, Wait, WaitReason
from ringback.metrics.v1.metrics_service_pb2 import ListWaitingRequest, ListWaitingResponse
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, Connection, restrict_to_org
from ringback.services.metrics.queries.delivery_message import Row, delivery_of, time_of
from ringback.services.metrics.queries.delivery_search import MAX_SCANNED, org_range
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "ringback.services.metrics.queries"
_NEVER = datetime.max  # ruff: ignore[datetime-min-max]  # as asyncpg has it
"""What asyncpg reads and writes for infinity: without a time zone, unlike other times."""

DEFAULT_PAGE, MAX_PAGE = 50, 100
REASON_WORDS = words_of(WaitReason.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class WaitKey:
    """The place of a webhook in the order of the list."""

    due_at: datetime
    id: UUID

    def text(self) -> bytes:
        return f"{self.due_at.isoformat()}\0{self.id}".encode()


_FIRST = WaitKey(datetime.min, UUID(int=0))  # ruff: ignore[datetime-min-max]  # -infinity


class Waiting:
    def __init__(self, access: Access, *, max_scanned: int = MAX_SCANNED) -> None:
        self._access = access
        self._max_scanned = max_scanned

    async def list_waiting(self, request: ListWaitingRequest, call: Call) -> ListWaitingResponse:
        """Webhooks that wait in the database. A page may be short and still have a next one."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_PAGE, maximum=MAX_PAGE)
        org_id = reader.uuid("org_id")
        destination = reader.text("destination")
        after = _page_key(reader)
        reader.check()

        scoped = restrict_to_org(call, org_id)
        if scoped is None:
            return ListWaitingResponse()
        async with self._access.reading(scoped) as connection:
            await connection.execute(load(_PACKAGE, "in_order.sql"))
            rows = await connection.fetch(
                load(_PACKAGE, "waiting.sql"),
                after.due_at,
                after.id,
                self._max_scanned,
                # One extra row shows whether there is a next page.
                size + 1,
                REASON_WORDS.get(request.reason),
                destination,
                *org_range(scoped.principal.org_id),
            )
        found = [row for row in rows if row["matches"]]
        response = ListWaitingResponse(waiting=[wait_of(row) for row in found[:size]])
        if len(found) > size:
            response.next_page_token = token_after(_key_of(found[size - 1]).text(), request)
        elif rows and rows[-1]["place"] == self._max_scanned:
            response.next_page_token = token_after(_key_of(rows[-1]).text(), request)
        return response


async def with_waits(connection: Connection, rows: Sequence[Row]) -> list[Delivery]:
    """The webhooks of the rows, each with its wait if it waits."""
    deliveries = {row["id"]: delivery_of(row) for row in rows}
    if deliveries:
        sql = load(_PACKAGE, "waits_of_deliveries.sql")
        for wait in await connection.fetch(sql, list(deliveries)):
            deliveries[wait["id"]].waiting.CopyFrom(wait_of(wait))
    return list(deliveries.values())


def wait_of(row: Row) -> Wait:
    """A row of `waiting.sql`."""
    due_at: datetime = row["due_at"]
    return Wait(
        job_id=str(row["id"]),
        org_id=str(row["org_id"]),
        event_type=row["event_type"],
        reason=WaitReason.Value(f"WAIT_REASON_{row['reason'].upper()}"),
        attempt=row["attempt"],
        created_at=time_of(row["created_at"]),
        due_at=None if due_at == _NEVER else time_of(due_at),
        destination=row["destination"],
        order_key=row["order_key"],
    )


def _key_of(row: Row) -> WaitKey:
    return WaitKey(row["due_at"], row["id"])


def _page_key(reader: RequestReader) -> WaitKey:
    due_at, job_id = reader.page_pair()
    if due_at is None or job_id is None:
        return _FIRST
    try:
        key = WaitKey(datetime.fromisoformat(due_at), UUID(job_id))
    except ValueError:
        key = _FIRST
    if key.due_at.tzinfo is None and key.due_at != _NEVER:
        reader.add_violation("page_token", "is not a token from an earlier answer.")
    return key
