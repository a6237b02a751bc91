"""Reads webhooks from the log: one, lists by filter, and recent failures."""

import asyncio
from uuid import UUID

from ringback.contract.identity import ids_beginning_with
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.status import Status
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListRecentFailuresRequest,
    ListRecentFailuresResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, restrict_to_org
from ringback.services.metrics.queries.delivery_message import (
    attempt_of,
    is_redacted,
    redacted_event,
    retry_of,
    time_of,
)
from ringback.services.metrics.queries.delivery_search import (
    AFTER_LAST_ID,
    FIRST_ID,
    Search,
    find_page,
    searched_until,
)
from ringback.services.metrics.queries.waiting import with_waits
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import no_such_delivery
from ringback.services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "ringback.services.metrics.queries"

DEFAULT_PAGE = 50
DEFAULT_LIMIT = 20
MAX_PAGE = 100

_STATUS_WORDS = words_of(pb.DeliveryStatus.DESCRIPTOR)


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
        found, next_after = await self._find(search, size, scoped) if scoped else ([], None)
        if next_after is None:
            return ListDeliveriesResponse(deliveries=found)
        return ListDeliveriesResponse(
            deliveries=found,
            next_page_token=token_after(next_after.bytes, request),
            searched_until=time_of(searched_until(next_after)),
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
        found, next_after = await self._find(search, limit, scoped) if scoped else ([], None)
        return ListRecentFailuresResponse(
            failures=found,
            count=len(found),
            next_page_token=token_after(next_after.bytes, request) if next_after else "",
        )

    async def get_delivery(self, request: GetDeliveryRequest, call: Call) -> GetDeliveryResponse:
        """One webhook with every attempt, its event, its retries and its forwards."""
        reader = RequestReader(request)
        job_id = reader.uuid("job_id") or UUID(int=0)
        reader.check()

        async with self._access.reading(call) as connection:
            row = await connection.fetchrow(load(_PACKAGE, "delivery.sql"), job_id)
            if row is None:
                raise no_such_delivery(job_id)
            attempts = await connection.fetch(load(_PACKAGE, "attempts_of_delivery.sql"), job_id)
            retries = await connection.fetch(load(_PACKAGE, "retries_of_delivery.sql"), job_id)
            forwards = await connection.fetch(load(_PACKAGE, "forwards_of_delivery.sql"), job_id)
            [delivery, *forwarding] = await with_waits(connection, [row, *forwards])
        if row["event_data"] is not None:
            # An event may have megabytes, and other callers are waiting.
            delivery.event_data = await asyncio.to_thread(
                redacted_event, row["event_data"], self._redaction
            )
            delivery.redacted = is_redacted(delivery.event_data)
        if row["dedup_key"] is not None and not delivery.redacted:
            delivery.dedup_key = row["dedup_key"]
        response = GetDeliveryResponse(
            delivery=delivery,
            attempts=[attempt_of(attempt) for attempt in attempts],
            forwards=forwarding,
        )
        for retry in retries:
            side = response.retry_of if retry["new_id"] == job_id else response.retried_as
            side.CopyFrom(retry_of(retry))
        return response

    async def _find(
        self, search: Search, size: int, call: Call
    ) -> tuple[list[pb.Delivery], UUID | None]:
        """At most `size` webhooks that the caller may see. Raises ApiError."""
        async with self._access.reading(call) as connection:
            org_id = call.principal.org_id
            page = await find_page(connection, search, size, org_id, max_scanned=self._max_scanned)
            return await with_waits(connection, page.rows), page.next_after


def _search(request: ListDeliveriesRequest, reader: RequestReader) -> Search:
    start, end = reader.time_range()
    status = _STATUS_WORDS.get(request.status)
    prefix = reader.text("job_id_prefix")
    job_ids = ids_beginning_with(prefix) if prefix else (FIRST_ID, AFTER_LAST_ID)
    if job_ids is None:
        reader.add_violation(
            "job_id_prefix",
            f"must be the beginning of a job id, at least 4 hexadecimal digits, not {prefix!r}.",
        )
    return Search(
        statuses=(Status(status),) if status else (),
        event_type=reader.text("event_type"),
        error_class=reader.text("error_class"),
        call_id=reader.text("call_id"),
        run_id=reader.uuid("run_id"),
        start=start,
        end=end,
        job_ids=job_ids or (FIRST_ID, AFTER_LAST_ID),
        before=reader.page_id() or AFTER_LAST_ID,
    )
