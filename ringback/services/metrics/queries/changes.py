"""Lists what people changed: ListChanges."""

from datetime import UTC, datetime

from ringback.metrics.enum_words import numbers_of, words_of
from ringback.metrics.v1.delivery_pb2 import Change, ChangeAction
from ringback.metrics.v1.metrics_service_pb2 import ListChangesRequest, ListChangesResponse
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, restrict_to_org
from ringback.services.metrics.queries.delivery_message import Row, time_of
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "ringback.services.metrics.queries"
NEWEST = (datetime.max, 2**63 - 1)  # ruff: ignore[datetime-min-max]  # asyncpg writes infinity

DEFAULT_PAGE, MAX_PAGE = 50, 100
MAX_DETAILS_BYTES = 4096


class Changes:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def list_changes(self, request: ListChangesRequest, call: Call) -> ListChangesResponse:
        """Rows of the audit that match all given filters, newest first. Raises ApiError."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=DEFAULT_PAGE, maximum=MAX_PAGE)
        org_id, job_id = reader.uuid("org_id"), reader.uuid("job_id")
        start, end = reader.time_range()
        before = _page_key(reader)
        reader.check()

        scoped = restrict_to_org(call, org_id)
        if scoped is None:
            return ListChangesResponse()
        async with self._access.reading(scoped) as connection:
            await connection.execute(load(_PACKAGE, "plan_for_values.sql"))
            rows = await connection.fetch(
                load(_PACKAGE, "changes.sql"),
                *before,
                scoped.principal.org_id,
                words_of(ChangeAction.DESCRIPTOR).get(request.action),
                reader.text("actor"),
                job_id,
                start,
                end,
                # One extra row shows whether there is a next page.
                size + 1,
                MAX_DETAILS_BYTES,
            )
        response = ListChangesResponse(changes=[change_of(row) for row in rows[:size]])
        if len(rows) > size:
            last = rows[size - 1]
            key = f"{last['at'].isoformat()}\0{last['id']}"
            response.next_page_token = token_after(key.encode(), request)
        return response


def change_of(row: Row) -> Change:
    """A row of `changes.sql`. The action of a newer version is unspecified."""
    change = Change(
        changed_at=time_of(row["at"]),
        actor=row["actor"],
        role=row["role"],
        org_id=_text(row["org_id"]),
        job_id=_text(row["job_id"]),
        new_job_id=row["new_job_id"],
        destination=row["destination"],
        run_id=row["run_id"],
        reason=row["reason"],
        details=row["details"],
        details_omitted=row["details"] is None,
    )
    action = numbers_of(ChangeAction.DESCRIPTOR).get(row["action"], 0)
    change.action = ChangeAction.ValueType(action)
    return change


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _page_key(reader: RequestReader) -> tuple[datetime, int]:
    at, number = reader.page_pair()
    if at is None or number is None:
        return NEWEST
    try:
        key = datetime.fromisoformat(at).astimezone(UTC), int(number)
    except (ValueError, OverflowError):
        key = NEWEST
    if key == NEWEST or not 0 <= key[1] < NEWEST[1]:
        reader.add_violation("page_token", "is not a token from an earlier answer.")
        return NEWEST
    return key
