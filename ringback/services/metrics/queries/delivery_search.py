"""Searches the log for webhooks, one page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from ringback.contract.identity import JobId, created_at
from ringback.contract.status import Status
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Connection
from ringback.services.metrics.queries.delivery_message import Row

_PACKAGE = "ringback.services.metrics.queries"

FIRST_ID = UUID(int=0)
AFTER_LAST_ID = UUID(int=2**128 - 1)
"""Higher than every job id, and not a job id itself."""

MAX_SCANNED = 10_000
"""Webhooks that one call reads; this takes 10 ms if they are in memory, and 200 ms if not."""
MAX_SCATTERED_SCANNED = 5_000
"""The same for those with an error, or of a retry run: they are far apart, so reading is slower."""

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
    #: Only webhooks that this retry run has created.
    run_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None
    #: The first and the last job id.
    job_ids: tuple[UUID, UUID] = (FIRST_ID, AFTER_LAST_ID)
    #: Whether more webhooks have `call_id` than one call reads. They are found in the log's order.
    is_large_call: bool = False
    #: Only smaller ids: the last id of the previous page.
    before: UUID = AFTER_LAST_ID

    @property
    def has_error(self) -> bool:
        """Whether all webhooks that can match have an error class."""
        return self.error_class is not None or (
            bool(self.statuses) and _WITH_ERROR.issuperset(self.statuses)
        )

    @property
    def is_by_call(self) -> bool:
        return self.call_id is not None and not self.is_large_call and not self.run_id

    @property
    def statement(self) -> str:
        """The file of the statement that reads the fewest webhooks."""
        if self.run_id:
            return "deliveries_of_run.sql"
        if self.is_by_call:
            return "deliveries_of_call.sql"
        if self.has_error:
            unresolved = self.unresolved_only
            return "deliveries_unresolved.sql" if unresolved else "deliveries_with_error.sql"
        return "deliveries.sql"

    @property
    def max_scanned(self) -> int:
        is_scattered = self.run_id or (self.has_error and not self.is_by_call)
        return MAX_SCATTERED_SCANNED if is_scattered else MAX_SCANNED

    @property
    def below_id(self) -> UUID:
        """Matching ids are below this one, which excludes days after `end` and earlier pages."""
        after_last = UUID(int=min(self.job_ids[1].int + 1, AFTER_LAST_ID.int))
        if self.end is None:
            return min(self.before, after_last)
        # An id has milliseconds, and the last one may have started before `end`.
        return min(self.before, after_last, first_id_at(self.end, later_ms=1))

    @property
    def from_id(self) -> UUID:
        """Matching ids are this one or above it, which excludes days before `start`."""
        first = self.job_ids[0]
        return first if self.start is None else max(first, first_id_at(self.start))


def first_id_at(moment: datetime, *, later_ms: int = 0) -> UUID:
    """The smallest job id of a moment, to the millisecond; like `webhook_id_at` in the database.

    `later_ms` is an argument, because adding it to the last moment of a datetime would overflow.
    """
    milliseconds = min(max(0, (moment - _EPOCH) // _MS + later_ms), 2**48 - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)


def searched_until(last_id: UUID) -> datetime:
    """All webhooks created at this time or later were looked at, if `last_id` was the last one.

    A millisecond after it: others of its millisecond may have smaller ids.
    """
    return created_at(JobId(last_id)) + _MS


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Webhooks, newest first. `next_after`: the next page begins after this id; None at the end."""

    rows: tuple[Row, ...]
    next_after: UUID | None


_FIRST_ORG, _LAST_ORG = UUID(int=0), UUID(int=2**128 - 1)


def org_range(org_id: UUID | None) -> tuple[UUID, UUID]:
    """The first and the last organisation that a caller of this organisation may see."""
    return org_id or _FIRST_ORG, org_id or _LAST_ORG


async def find_page(
    connection: Connection,
    search: Search,
    size: int,
    org_id: UUID | None,
    *,
    max_scanned: int | None = None,
) -> DeliveryPage:
    """At most `size` webhooks, read in a transaction with the caller's rights.

    `org_id` is the caller's organisation. It makes the query fast, and grants nothing.
    """
    if search.call_id is not None and not search.run_id:
        most = max_scanned or search.max_scanned
        more = await connection.fetchrow(load(_PACKAGE, "call_is_large.sql"), search.call_id, most)
        search = replace(search, is_large_call=more is not None)
    if not search.is_by_call:
        await connection.execute(load(_PACKAGE, "in_order.sql"))
    max_scanned = max_scanned or search.max_scanned
    rows = await connection.fetch(
        load(_PACKAGE, search.statement),
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
        *org_range(org_id),
        *([search.run_id] if search.run_id else []),
    )
    return page_of(rows, size, max_scanned)


def page_of(rows: Sequence[Row], size: int, max_scanned: int) -> DeliveryPage:
    """The page from rows of `deliveries.sql`, which are newest first."""
    found = tuple(row for row in rows if row["matches"])
    if len(found) > size:
        return DeliveryPage(found[:size], found[size - 1]["id"])
    if rows and rows[-1]["place"] == max_scanned:
        return DeliveryPage(found, rows[-1]["id"])
    return DeliveryPage(found, None)
