from ringback.contract.status import Status
from ringback.metrics.v1.metrics_service_pb2 import (
    ListRecentFailuresRequest,
    ListRecentFailuresResponse,
)
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import delivery_of
from services.metrics.reads.delivery_page import EMPTY, DeliveryPages
from services.metrics.reads.page_token import token_after
from services.metrics.reads.scope import seen_by
from services.metrics.reads.search import AFTER_LAST_ID, Search

DEFAULT_LIMIT = 20
MOST = 100


class RecentFailures:
    """Webhooks whose last attempt failed, and dead letters, resolved or not."""

    def __init__(self, access: Access) -> None:
        self._pages = DeliveryPages(access)

    async def answer(
        self, request: ListRecentFailuresRequest, call: Call
    ) -> ListRecentFailuresResponse:
        asked = Asked(request)
        limit = asked.page_size("limit", default=DEFAULT_LIMIT, most=MOST)
        org_id = asked.uuid("org_id")
        before = asked.page_id() or AFTER_LAST_ID
        asked.accept()

        search = Search(statuses=(Status.FAILED, Status.DEAD_LETTER), before=before)
        seen = seen_by(call, org_id)
        page = await self._pages.find(search, limit, seen) if seen else EMPTY
        return ListRecentFailuresResponse(
            failures=[delivery_of(row) for row in page.rows],
            count=len(page.rows),
            next_page_token=token_after(page.next_after.bytes, request) if page.next_after else "",
        )
