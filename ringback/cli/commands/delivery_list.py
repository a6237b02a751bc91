"""Finds webhooks by filter, page after page, and knows how far it has looked."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ringback.cli.client.job_ids import resolve_run_id
from ringback.cli.client.metrics import CommonOptions, metrics_client, print_json
from ringback.cli.commands.bulk_retry import point_in_time
from ringback.cli.terminal import BadInputError, out
from ringback.cli.views.delivery_table import print_found, print_table
from ringback.cli.views.formatting import moment
from ringback.metrics.enum_words import numbers_of
from ringback.metrics.pages import AsyncPages
from ringback.metrics.v1.delivery_pb2 import Delivery, DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesResponse

_MAX_PAGE = 100
MAX_PAGES = 50
"""Each looks through at most 10,000 webhooks."""
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """The options of `ringback delivery list`, as typed."""

    status: str = ""
    event_type: str = ""
    call: str = ""
    error: str = ""
    job: str = ""
    since: str = ""
    until: str = ""
    org: str = ""
    run: str = ""


async def list_deliveries(wanted: DeliveryFilter, limit: int, options: CommonOptions) -> None:
    now = datetime.now(UTC)
    status = _status(wanted.status)
    since, until = [
        point_in_time(text, now) if text else None for text in (wanted.since, wanted.until)
    ]
    async with metrics_client(options) as client:
        pages = client.deliveries(
            status=status,
            event_type=wanted.event_type,
            call_id=wanted.call,
            error_class=wanted.error,
            job_id_prefix=wanted.job,
            run_id=await resolve_run_id(client, wanted.run) if wanted.run else "",
            start_time=since,
            end_time=until,
            org_id=wanted.org,
            page_size=min(limit, _MAX_PAGE),
        )
        found = await find(pages, limit)
    if options.json:
        print_json(found)
        return
    print_table(out(), found.deliveries, now)
    print_found(out(), found, limit=limit, end=until)


async def find(
    pages: AsyncPages[ListDeliveriesResponse, Delivery], limit: int
) -> ListDeliveriesResponse:
    """The first `limit` webhooks in an answer without a page token: `searched_until` continues."""
    found = ListDeliveriesResponse()
    count = 0
    async for page in pages.by_page():
        found.MergeFrom(page)
        found.next_page_token = page.next_page_token
        count += 1
        if len(found.deliveries) >= limit or count == MAX_PAGES:
            break
    if not found.next_page_token:
        found.ClearField("searched_until")
    if len(found.deliveries) > limit:
        del found.deliveries[limit:]
        found.searched_until.FromDatetime(moment(found.deliveries[-1].created_at) + _MS)
    found.ClearField("next_page_token")
    return found


def _status(text: str) -> DeliveryStatus.ValueType:
    numbers = numbers_of(DeliveryStatus.DESCRIPTOR)
    if not text:
        return DeliveryStatus.DELIVERY_STATUS_UNSPECIFIED
    number = numbers.get(text.lower().replace("-", "_").replace(" ", "_"))
    if number is None:
        words = ", ".join(word for word in numbers if word.islower())
        raise BadInputError(f"There is no status {text!r}. Use one of {words}.")
    return DeliveryStatus.ValueType(number)
