"""Lists unresolved dead letters with their events, and counts them by group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from ringback.contract.redaction.redaction import DEFAULT_REDACTION, Redaction
from ringback.contract.status import Status
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListFailureGroupsRequest,
    ListFailureGroupsResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, Connection, restrict_to_org
from ringback.services.metrics.queries.delivery_message import (
    Row,
    delivery_of,
    is_redacted,
    redacted_event,
    time_of,
)
from ringback.services.metrics.queries.delivery_search import (
    AFTER_LAST_ID,
    DeliveryPage,
    Search,
    find_page,
)
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader, token_after


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the log. `text` is None if it was not read.

    `fits`: there is room for it in the answer after the events before it, by its stored size.
    """

    size_bytes: int
    fits: bool
    text: str | None

    @property
    def max_bytes(self) -> int:
        """The larger of its size in an answer and its stored size."""
        return max(self.size_bytes, len((self.text or "").encode()))


@dataclass(frozen=True, slots=True)
class FittingPage:
    """The first webhooks of a page, in its order; those in `omitted` without their events."""

    ids: tuple[UUID, ...]
    omitted: frozenset[UUID]


def fit(ids: Iterable[UUID], events: Mapping[UUID, StoredEvent], max_bytes: int) -> FittingPage:
    """The first of `ids` whose events fit into `max_bytes` together; at least one.

    The event of a webhook is omitted if it alone is larger than `max_bytes`. A webhook that is not
    in `events` was deleted from the log meanwhile, and is skipped.
    """
    fitting: list[UUID] = []
    omitted: set[UUID] = set()
    used = 0
    for job_id in ids:
        event = events.get(job_id)
        if event is None:
            continue
        if event.max_bytes > max_bytes:
            omitted.add(job_id)
        elif not event.fits or used + event.max_bytes > max_bytes:
            break
        else:
            used += event.max_bytes
        fitting.append(job_id)
    return FittingPage(tuple(fitting), frozenset(omitted))


_PACKAGE = "ringback.services.metrics.queries"

DEFAULT_PAGE, MAX_PAGE = 50, 100
DEFAULT_GROUPS, MAX_GROUPS = 100, 1000
MAX_EVENT_BYTES = 3_000_000
"""Bytes of events in one answer. A gRPC client accepts answers of 4 MiB by default."""


class DeadLetters:
    """Unresolved dead letters: with their events, and counted by group."""

    def __init__(
        self,
        access: Access,
        redaction: Redaction = DEFAULT_REDACTION,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._access = access
        self._redaction = redaction
        self._max_event_bytes = max_event_bytes

    async def list_dead_letters(
        self, request: ListDeadLettersRequest, call: Call
    ) -> ListDeadLettersResponse:
        """Unresolved dead letters with their events, newest first."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_PAGE, maximum=MAX_PAGE)
        org_id = reader.uuid("org_id")
        search = Search(
            statuses=(Status.DEAD_LETTER,),
            unresolved_only=True,
            event_type=reader.text("event_type"),
            error_class=reader.text("error_class"),
            before=reader.page_id() or AFTER_LAST_ID,
        )
        reader.check()

        scoped = restrict_to_org(call, org_id)
        letters: list[Delivery] = []
        next_after: UUID | None = None
        if scoped and request.omit_events:
            letters, next_after = await self._find_rows(search, size, scoped)
        elif scoped:
            letters, next_after = await self._find(search, size, scoped)
        return ListDeadLettersResponse(
            dead_letters=letters,
            count=len(letters),
            next_page_token=token_after(next_after.bytes, request) if next_after else "",
        )

    async def list_failure_groups(
        self, request: ListFailureGroupsRequest, call: Call
    ) -> ListFailureGroupsResponse:
        """Unresolved dead letters by event type and error class."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_GROUPS, maximum=MAX_GROUPS)
        org_id = reader.uuid("org_id")
        after = reader.page_pair()
        reader.check()

        scoped = restrict_to_org(call, org_id)
        if scoped is None:
            return ListFailureGroupsResponse()
        async with self._access.reading(scoped) as connection:
            rows = await connection.fetch(load(_PACKAGE, "failure_groups.sql"), *after, size + 1)
        response = ListFailureGroupsResponse(groups=[_group_of(row) for row in rows[:size]])
        if len(rows) > size:
            last = response.groups[-1]
            key = f"{last.event_type}\0{last.error_class}"
            response.next_page_token = token_after(key.encode(), request)
        return response

    async def _find_rows(
        self, search: Search, size: int, call: Call
    ) -> tuple[list[Delivery], UUID | None]:
        async with self._access.reading(call) as connection:
            page = await find_page(connection, search, size, call.principal.org_id)
        return [delivery_of(row) for row in page.rows], page.next_after

    async def _find(
        self, search: Search, size: int, call: Call
    ) -> tuple[list[Delivery], UUID | None]:
        async with self._access.reading(call) as connection:
            page = await find_page(connection, search, size, call.principal.org_id)
            events = await self._events(connection, page)
        fitting = fit((row["id"] for row in page.rows), events, self._max_event_bytes)
        rows: dict[UUID, Row] = {row["id"]: row for row in page.rows}
        letters = []
        for job_id in fitting.ids:
            letter = delivery_of(rows[job_id])
            letter.event_data_omitted = job_id in fitting.omitted
            text = events[job_id].text
            if text is not None and not letter.event_data_omitted:
                letter.event_data = text
                letter.redacted = is_redacted(text)
            letters.append(letter)
        is_cut = bool(fitting.ids) and fitting.ids[-1] != page.rows[-1]["id"]
        return letters, fitting.ids[-1] if is_cut else page.next_after

    async def _events(self, connection: Connection, page: DeliveryPage) -> dict[UUID, StoredEvent]:
        if not page.rows:
            return {}
        ids = [row["id"] for row in page.rows]
        sql = load(_PACKAGE, "dead_letter_events.sql")
        rows = await connection.fetch(sql, ids, ids[-1], ids[0], self._max_event_bytes)
        return {
            row["id"]: StoredEvent(row["size_bytes"], row["fits"], self._shown(row["event_data"]))
            for row in rows
        }

    def _shown(self, text: str | None) -> str | None:
        return None if text is None else redacted_event(text, self._redaction)


def _group_of(row: Row) -> FailureGroup:
    return FailureGroup(
        event_type=row["event_type"],
        error_class=row["error_class"],
        count=row["count"],
        first_seen=time_of(row["first_seen"]),
        last_seen=time_of(row["last_seen"]),
        latest_job_id=str(row["latest"]),
        latest_error_message=row["error_message"],
        count_last_day=row["count_last_day"],
    )
