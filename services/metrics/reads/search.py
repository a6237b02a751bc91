"""What to search in the log, where to start, and which statement to use."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ringback.contract.status import Status

FIRST_ID = UUID(int=0)
AFTER_LAST_ID = UUID(int=2**128 - 1)
"""Lower than every job id, and not a job id itself."""

MOST_LOOKED_AT = 20_000
"""Webhooks that one call reads: 15 ms when they are in memory."""
MOST_ERRORS_LOOKED_AT = 5_000
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
    def most_looked_at(self) -> int:
        is_by_error = self.has_error and self.call_id is None
        return MOST_ERRORS_LOOKED_AT if is_by_error else MOST_LOOKED_AT

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
