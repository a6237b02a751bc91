"""Reads webhooks from the log: one, lists by filter, and recent failures."""

from datetime import UTC
from uuid import UUID

from ringback.contract.redaction.redaction import Redaction
from ringback.contract.status import Status
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1 import delivery_pb2
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListRecentFailuresRequest,
    ListRecentFailuresResponse,
)
from ringback.runtime.postgres.queries import load
from services.metrics.auth.access import Access, restrict_to_org
from services.metrics.queries.delivery_message import (
    attempt_of,
    delivery_of,
    is_redacted,
    redacted_event,
    retry_of,
)
from services.metrics.queries.delivery_search import (
    AFTER_LAST_ID,
    EMPTY,
    DeliveryPage,
    Search,
    find_page,
)
from services.metrics.transport.call import Call
from services.metrics.transport.errors import no_such_delivery
from services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "services.metrics.queries"

DEFAULT_PAGE = 50
DEFAULT_LIMIT = 20
MAX_PAGE = 100

_STATUS_WORDS = words_of(delivery_pb2.DeliveryStatus.DESCRIPTOR)


class Deliveries:
    """Webhooks of the log: one, those that match filters, and those that failed."""

    def __init__(
        self, access: Access, redaction: Redaction, *, max_scanned: int | None = None
    ) -> None:
        self._access = access
        self._redaction = redaction
        self._max_scanned = max_scanned

    async def list_deliveries(
        self, request: ListDeliveriesRequest, call: Call
    ) -> ListDeliveriesResponse:
        """Webhooks that match all given filters."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_PAGE, maximum=MAX_PAGE)
        org_id = reader.uuid("org_id")
        search = _search(request, reader)
        reader.check()

        scoped = restrict_to_org(call, org_id)
        page = await self._find(search, size, scoped) if scoped else EMPTY
        return ListDeliveriesResponse(
            deliveries=[delivery_of(row) for row in page.rows],
            next_page_token=token_after(page.next_after.bytes, request) if page.next_after else "",
        )

    async def list_recent_failures(
        self, request: ListRecentFailuresRequest, call: Call
    ) -> ListRecentFailuresResponse:
        """Webhooks whose last attempt failed, and dead letters, resolved or not."""
        reader = RequestReader(request)
        limit = reader.page_size("limit", default=DEFAULT_LIMIT, maximum=MAX_PAGE)
        org_id = reader.uuid("org_id")
        before = reader.page_id() or AFTER_LAST_ID
        reader.check()

        search = Search(statuses=(Status.FAILED, Status.DEAD_LETTER), before=before)
        scoped = restrict_to_org(call, org_id)
        page = await self._find(search, limit, scoped) if scoped else EMPTY
        return ListRecentFailuresResponse(
            failures=[delivery_of(row) for row in page.rows],
            count=len(page.rows),
            next_page_token=token_after(page.next_after.bytes, request) if page.next_after else "",
        )

    async def get_delivery(self, request: GetDeliveryRequest, call: Call) -> GetDeliveryResponse:
        """One webhook with every attempt, its event, and its retries."""
        reader = RequestReader(request)
        job_id = reader.uuid("job_id") or UUID(int=0)
        reader.check()

        async with self._access.reading(call) as connection:
            row = await connection.fetchrow(load(_PACKAGE, "delivery.sql"), job_id)
            if row is None:
                raise no_such_delivery(job_id)
            attempts = await connection.fetch(load(_PACKAGE, "attempts_of_delivery.sql"), job_id)
            retries = await connection.fetch(load(_PACKAGE, "retries_of_delivery.sql"), job_id)
        delivery = delivery_of(row)
        if row["event_data"] is not None:
            delivery.event_data = redacted_event(row["event_data"], self._redaction)
            delivery.redacted = is_redacted(delivery.event_data)
        response = GetDeliveryResponse(
            delivery=delivery, attempts=[attempt_of(attempt) for attempt in attempts]
        )
        for retry in retries:
            side = response.retry_of if retry["new_id"] == job_id else response.retried_as
            side.CopyFrom(retry_of(retry))
        return response

    async def _find(self, search: Search, size: int, call: Call) -> DeliveryPage:
        """At most `size` webhooks of those that the call sees. Raises ApiError."""
        async with self._access.reading(call) as connection:
            org_id = call.principal.org_id
            return await find_page(connection, search, size, org_id, max_scanned=self._max_scanned)


def _search(request: ListDeliveriesRequest, reader: RequestReader) -> Search:
    start = request.start_time.ToDatetime(UTC) if request.HasField("start_time") else None
    end = request.end_time.ToDatetime(UTC) if request.HasField("end_time") else None
    if start is not None and end is not None and end <= start:
        reader.add_violation("end_time", "must be after start_time.")
    status = _STATUS_WORDS.get(request.status)
    return Search(
        statuses=(Status(status),) if status else (),
        event_type=reader.text("event_type"),
        error_class=reader.text("error_class"),
        call_id=reader.text("call_id"),
        start=start,
        end=end,
        before=reader.page_id() or AFTER_LAST_ID,
    )
