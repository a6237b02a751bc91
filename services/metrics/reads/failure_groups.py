from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    ListFailureGroupsRequest,
    ListFailureGroupsResponse,
)
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import Row, time_of
from services.metrics.reads.page_token import token_after
from services.metrics.reads.scope import seen_by

DEFAULT_PAGE = 100
MOST = 1000


class FailureGroups:
    """Unresolved dead letters by event type and error class."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def answer(
        self, request: ListFailureGroupsRequest, call: Call
    ) -> ListFailureGroupsResponse:
        asked = Asked(request)
        size = asked.page_size("page_size", default=DEFAULT_PAGE, most=MOST)
        org_id = asked.uuid("org_id")
        after = asked.page_pair()
        asked.accept()

        seen = seen_by(call, org_id)
        if seen is None:
            return ListFailureGroupsResponse()
        async with self._access.reading(seen) as connection:
            rows = await connection.fetch(
                load("services.metrics", "failure_groups.sql"), *after, size + 1
            )
        response = ListFailureGroupsResponse(groups=[_group_of(row) for row in rows[:size]])
        if len(rows) > size:
            last = response.groups[-1]
            key = f"{last.event_type}\0{last.error_class}"
            response.next_page_token = token_after(key.encode(), request)
        return response


def _group_of(row: Row) -> FailureGroup:
    return FailureGroup(
        event_type=row["event_type"],
        error_class=row["error_class"],
        count=row["count"],
        first_seen=time_of(row["first_seen"]),
        last_seen=time_of(row["last_seen"]),
        latest_job_id=str(row["latest"]),
        latest_error_message=row["error_message"],
    )
