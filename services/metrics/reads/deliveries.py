from datetime import UTC

from ringback.contract.status import Status
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1 import delivery_pb2
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest, ListDeliveriesResponse
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import delivery_of
from services.metrics.reads.delivery_page import EMPTY, DeliveryPages
from services.metrics.reads.page_token import token_after
from services.metrics.reads.scope import seen_by
from services.metrics.reads.search import AFTER_LAST_ID, Search

DEFAULT_PAGE = 50
MOST = 100

_STATUS_WORDS = words_of(delivery_pb2.DeliveryStatus.DESCRIPTOR)


class Deliveries:
    """Webhooks that match all given filters."""

    def __init__(self, access: Access) -> None:
        self._pages = DeliveryPages(access)

    async def answer(self, request: ListDeliveriesRequest, call: Call) -> ListDeliveriesResponse:
        asked = Asked(request)
        size = asked.page_size("page_size", default=DEFAULT_PAGE, most=MOST)
        org_id = asked.uuid("org_id")
        search = _search(request, asked)
        asked.accept()

        seen = seen_by(call, org_id)
        page = await self._pages.find(search, size, seen) if seen else EMPTY
        return ListDeliveriesResponse(
            deliveries=[delivery_of(row) for row in page.rows],
            next_page_token=token_after(page.next_after.bytes, request) if page.next_after else "",
        )


def _search(request: ListDeliveriesRequest, asked: Asked) -> Search:
    start = request.start_time.ToDatetime(UTC) if request.HasField("start_time") else None
    end = request.end_time.ToDatetime(UTC) if request.HasField("end_time") else None
    if start is not None and end is not None and end <= start:
        asked.refuse("end_time", "is not after start_time.")
    status = _STATUS_WORDS.get(request.status)
    return Search(
        statuses=(Status(status),) if status else (),
        event_type=asked.text("event_type"),
        error_class=asked.text("error_class"),
        call_id=asked.text("call_id"),
        start=start,
        end=end,
        before=asked.page_id() or AFTER_LAST_ID,
    )
