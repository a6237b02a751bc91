from uuid import UUID

from ringback.contract.redaction.redaction import DEFAULT_REDACTION, Redaction
from ringback.contract.status import Status
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import ListDeadLettersRequest, ListDeadLettersResponse
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access, Connection
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import Row, delivery_of
from services.metrics.reads.delivery_page import DeliveryPage, find_page
from services.metrics.reads.events_that_fit import StoredEvent, fit
from services.metrics.reads.page_token import token_after
from services.metrics.reads.scope import seen_by
from services.metrics.reads.search import AFTER_LAST_ID, Search
from services.metrics.reads.shown_event import is_redacted, shown_event

DEFAULT_PAGE = 50
MOST = 100
MOST_EVENT_BYTES = 3_000_000
"""Bytes of events in one answer. A gRPC client accepts answers of 4 MiB by default."""


class DeadLetters:
    """Unresolved dead letters, with their events."""

    def __init__(
        self,
        access: Access,
        redaction: Redaction = DEFAULT_REDACTION,
        *,
        most_event_bytes: int = MOST_EVENT_BYTES,
    ) -> None:
        self._access = access
        self._redaction = redaction
        self._most_event_bytes = most_event_bytes

    async def answer(self, request: ListDeadLettersRequest, call: Call) -> ListDeadLettersResponse:
        asked = Asked(request)
        size = asked.page_size("page_size", default=DEFAULT_PAGE, most=MOST)
        org_id = asked.uuid("org_id")
        search = Search(
            statuses=(Status.DEAD_LETTER,),
            unresolved_only=True,
            event_type=asked.text("event_type"),
            error_class=asked.text("error_class"),
            before=asked.page_id() or AFTER_LAST_ID,
        )
        asked.accept()

        seen = seen_by(call, org_id)
        letters, next_after = await self._find(search, size, seen) if seen else ([], None)
        return ListDeadLettersResponse(
            dead_letters=letters,
            count=len(letters),
            next_page_token=token_after(next_after.bytes, request) if next_after else "",
        )

    async def _find(
        self, search: Search, size: int, call: Call
    ) -> tuple[list[Delivery], UUID | None]:
        async with self._access.reading(call) as connection:
            page = await find_page(connection, search, size, call.principal.org_id)
            events = await self._events(connection, page)
        fitting = fit((row["id"] for row in page.rows), events, self._most_event_bytes)
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
        sql = load("services.metrics", "dead_letter_events.sql")
        rows = await connection.fetch(sql, ids, ids[-1], ids[0], self._most_event_bytes)
        return {
            row["id"]: StoredEvent(row["size_bytes"], row["fits"], self._shown(row["event_data"]))
            for row in rows
        }

    def _shown(self, text: str | None) -> str | None:
        return None if text is None else shown_event(text, self._redaction)
