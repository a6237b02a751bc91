"""What to search in the log, where to start, and which statement to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ringback.contract.status import Status
from ringback.runtime.postgres.queries import load
from services.metrics.auth.access import Connection
from services.metrics.queries.delivery_message import Row

FIRST_ID = UUID(int=0)
AFTER_LAST_ID = UUID(int=2**128 - 1)
"""Lower than every job id, and not a job id itself."""

MAX_SCANNED = 20_000
"""Webhooks that one call reads: 15 ms when they are in memory."""
MAX_ERRORS_SCANNED = 5_000
"""Those with an error are far apart, so the same time covers fewer."""

_WITH_ERROR = frozenset({Status.FAILED, Status.DEAD_LETTER})
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Webhooks that match all given filters. An empty tuple of statuses means any status."""

    statuses: tuple[Status, ...] = ()
    unresolved_only: bool = False
    event_type: str | None = None
    error_class: str | None = None
    call_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    #: Only smaller ids: the last id of the previous page.
    before: UUID = AFTER_LAST_ID

    @property
    def has_error(self) -> bool:
        """Whether all that can match have an error class."""
        return self.error_class is not None or (
            bool(self.statuses) and _WITH_ERROR.issuperset(self.statuses)
        )

    @property
    def statement(self) -> str:
        """The statement that looks at the fewest webhooks."""
        if self.call_id is not None:
            return "deliveries_of_call.sql"
        if self.has_error:
            unresolved = self.unresolved_only
            return "deliveries_unresolved.sql" if unresolved else "deliveries_with_error.sql"
        return "deliveries.sql"

    @property
    def max_scanned(self) -> int:
        is_by_error = self.has_error and self.call_id is None
        return MAX_ERRORS_SCANNED if is_by_error else MAX_SCANNED

    @property
    def below_id(self) -> UUID:
        """A bound that excludes the days after `end`, and earlier pages."""
        if self.end is None:
            return self.before
        # An id has milliseconds, and the last one may have started before `end`.
        return min(self.before, first_id_at(self.end, later_ms=1))

    @property
    def from_id(self) -> UUID:
        """A bound that excludes the days before `start`."""
        return FIRST_ID if self.start is None else first_id_at(self.start)


def first_id_at(moment: datetime, *, later_ms: int = 0) -> UUID:
    """The smallest job id of a moment, to the millisecond; as `webhook_id_at` of the database.

    `later_ms` are added after the last moment of the calendar, too.
    """
    milliseconds = min(max(0, (moment - _EPOCH) // _MS + later_ms), 2**48 - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest first. `next_after`: the id after which the next page begins; None at the end."""

    rows: tuple[Row, ...]
    next_after: UUID | None


_FIRST_ORG, _LAST_ORG = UUID(int=0), UUID(int=2**128 - 1)

EMPTY = DeliveryPage((), None)


async def find_page(
    connection: Connection,
    search: Search,
    size: int,
    org_id: UUID | None,
    *,
    max_scanned: int | None = None,
) -> DeliveryPage:
    """At most `size` webhooks, in a transaction that sees what the caller may see.

    `org_id` is the caller's: it grants nothing, but makes the query fast.
    """
    if search.call_id is None:
        await connection.execute(load("services.metrics.queries", "in_order.sql"))
    max_scanned = max_scanned or search.max_scanned
    rows = await connection.fetch(
        load("services.metrics.queries", search.statement),
        search.below_id,
        search.from_id,
        max_scanned,
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
    return page_of(rows, size, max_scanned)


def page_of(rows: Sequence[Row], size: int, max_scanned: int) -> DeliveryPage:
    """The page from rows of `deliveries.sql`: newest first, including the last row read."""
    found = tuple(row for row in rows if row["matches"])
    if len(found) > size:
        return DeliveryPage(found[:size], found[size - 1]["id"])
    if rows and rows[-1]["place"] == max_scanned:
        return DeliveryPage(found, rows[-1]["id"])
    return DeliveryPage(found, None)
