"""One page of the log, found by reading a bounded number of webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ringback.runtime.postgres.queries import load
from services.metrics.access import Access, Connection
from services.metrics.api.call import Call
from services.metrics.reads.delivery_message import Row
from services.metrics.reads.search import Search


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest first. `next_after`: the id after which the next page begins; None at the end."""

    rows: tuple[Row, ...]
    next_after: UUID | None


_FIRST_ORG, _LAST_ORG = UUID(int=0), UUID(int=2**128 - 1)

EMPTY = DeliveryPage((), None)


class DeliveryPages:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def find(self, search: Search, size: int, call: Call) -> DeliveryPage:
        """At most `size` webhooks of those that the call sees. Raises ApiError."""
        async with self._access.reading(call) as connection:
            return await find_page(connection, search, size, call.principal.org_id)


async def find_page(
    connection: Connection, search: Search, size: int, org_id: UUID | None
) -> DeliveryPage:
    """Like `DeliveryPages.find`, in a transaction that sees what the caller may see.

    `org_id` is the caller's: it grants nothing, but makes the query fast.
    """
    if search.call_id is None:
        await connection.execute(load("services.metrics", "in_order.sql"))
    looked_at = search.most_looked_at
    rows = await connection.fetch(
        load("services.metrics", search.statement),
        search.below_id,
        search.from_id,
        looked_at,
        # One extra row shows whether there is a next page.
        size + 1,
        list(search.statuses) or None,
        search.unresolved_only,
        search.event_type,
        search.error_class,
        search.call_id,
        search.start,
        search.end,
        org_id or _FIRST_ORG,
        org_id or _LAST_ORG,
    )
    return page_of(rows, size, looked_at)


def page_of(rows: Sequence[Row], size: int, looked_at: int) -> DeliveryPage:
    """The page from rows of `deliveries.sql`: newest first, including the last row read."""
    found = tuple(row for row in rows if row["matches"])
    if len(found) > size:
        return DeliveryPage(found[:size], found[size - 1]["id"])
    if rows and rows[-1]["place"] == looked_at:
        return DeliveryPage(found, rows[-1]["id"])
    return DeliveryPage(found, None)
