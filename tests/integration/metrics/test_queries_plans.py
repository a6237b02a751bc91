"""The cost of the queries: the daily partitions and the indexes that they read."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.status import WaitReason
from ringback.metrics.v1.delivery_pb2 import DELIVERY_STATUS_DEAD_LETTER
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
    ListWaitingRequest,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.app import queries
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.polling.log_stats import LogReader
from ringback.services.metrics.queries.deliveries import Deliveries
from ringback.services.metrics.queries.delivery_search import first_id_at
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot
from tests.integration.metrics.queried_log import (
    OURS,
    THEIRS,
    LogRow,
    as_org,
    dead,
    rpcs,
    write,
    write_retries,
)
from tests.support.eventually import eventually
from tests.support.executed_plans import ExecutedPlans

pytestmark = pytest.mark.slow

_DAY = re.compile(r"webhook_delivery_(?:log|attempts)_(\d{8})")
DAY = 86400.0
RUN, THEIR_RUN, RUN_OF_ALL = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime.now(UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
#: The beginning of the ids of about seven weeks.
TODAY = str(first_id_at(MIDNIGHT - timedelta(days=1)))[:4]
FULL_DAYS = {f"{MIDNIGHT - timedelta(days=n):%Y%m%d}" for n in (1, 2)}


@pytest.fixture
async def full(log: asyncpg.Connection) -> asyncpg.Connection:
    """Two days of two organisations, one of them large, with planner statistics."""
    since_midnight_s = (NOW - MIDNIGHT).total_seconds()
    for org_id, per_day in ((OURS, 1500), (THEIRS, 10)):
        rows = [
            (dead if n % 2 == 0 else LogRow)(
                ago_s=since_midnight_s + (n + 0.5) * DAY / per_day,
                org_id=org_id,
                call_id=f"c-{n // 5}",
            )
            for n in range(2 * per_day)
        ]
        await write(log, *rows)
        await write_retries(log, RUN if org_id == OURS else THEIR_RUN, *rows[::10])
        await write_retries(log, RUN_OF_ALL, *rows[1::10])
    await log.execute("ANALYZE webhook_delivery_log, webhook_retries")
    return log


@pytest.fixture
def plans() -> ExecutedPlans:
    return ExecutedPlans()


class OneConnection:
    """A pool of one connection that keeps its listeners after release."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self, **_: object) -> AsyncGenerator[asyncpg.Connection, None]:
        yield self._connection


@pytest.fixture
async def watched_access(
    full: asyncpg.Connection, database_url: str, plans: ExecutedPlans
) -> AsyncGenerator[Access, None]:
    """One connection whose plans are collected."""
    assert full is not None
    connection = await asyncpg.connect(database_url, command_timeout=300)
    await plans.watch(connection)
    pool: Any = OneConnection(connection)
    yield Access(pool)
    await connection.close()


@pytest.fixture
def watched(watched_access: Access) -> Any:
    """The reads over that connection."""
    return rpcs(*queries(watched_access, QueueSnapshot(count_max_age_s=10), DEFAULT_REDACTION))


async def settled(plans: ExecutedPlans) -> list[tuple[str, str | None]]:
    """Tables and indexes of the scans since the last call, of the days with data.

    The others cost nothing however they are read. The server's messages may arrive a moment later.
    """
    await eventually(lambda: plans.count > 0)
    scans = plans.scans
    plans.clear()
    return [
        (scan.table, scan.index)
        for scan in scans
        if (day := _DAY.fullmatch(scan.table)) and day[1] in FULL_DAYS
    ]


@pytest.mark.parametrize("caller", [None, OURS, THEIRS])
async def test_a_job_id_reads_one_day(watched: Any, plans: ExecutedPlans, caller: Any) -> None:
    """Of the log and of the attempts, by their keys; for any caller."""
    page = await watched.list_deliveries(ListDeliveriesRequest(page_size=1), as_org(caller))
    [newest] = page.deliveries
    await settled(plans)

    await watched.get_delivery(GetDeliveryRequest(job_id=newest.job_id), as_org(caller))

    day = f"{newest.created_at.ToDatetime(UTC):%Y%m%d}"
    assert {table for table, _ in await settled(plans)} <= {
        f"webhook_delivery_log_{day}",
        f"webhook_delivery_attempts_{day}",
    }


@pytest.fixture
async def columns(full: asyncpg.Connection) -> dict[str | None, str]:
    """By index: its columns, and its condition."""
    rows = await full.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    return {row["indexname"]: row["indexdef"].partition("btree ")[2] for row in rows}


ERROR = "(error_class IS NOT NULL)"
COUNTED = "INCLUDE (event_type, error_class, created_at, altered) WHERE is_unresolved"


@pytest.mark.parametrize(
    ("request_", "index"),
    [
        (ListDeliveriesRequest(page_size=2), "({}id)"),
        (
            ListDeliveriesRequest(page_size=2, status=DELIVERY_STATUS_DEAD_LETTER),
            f"({{}}id) WHERE {ERROR}",
        ),
        (ListRecentFailuresRequest(limit=2), f"({{}}id) WHERE {ERROR}"),
        (ListDeadLettersRequest(page_size=2), f"({{}}id) {COUNTED}"),
        (ListDeliveriesRequest(call_id="c-1"), "(call_id, org_id) WHERE (call_id IS NOT NULL)"),
    ],
)
@pytest.mark.parametrize(
    ("caller", "first"), [(None, ""), (OURS, "org_id, "), (THEIRS, "org_id, ")]
)
async def test_a_list_reads_the_index_that_is_made_for_it(
    watched: Any,
    plans: ExecutedPlans,
    columns: dict[str | None, str],
    request_: Any,
    index: str,
    caller: Any,
    first: str,
) -> None:
    """Also for a small organisation, and at the tenth call, when the plan is a generic one."""
    method: Any = {
        ListDeliveriesRequest: watched.list_deliveries,
        ListRecentFailuresRequest: watched.list_recent_failures,
        ListDeadLettersRequest: watched.list_dead_letters,
    }[type(request_)]
    for _ in range(10):
        await method(request_, as_org(caller))

    scans = await settled(plans)
    own_key = "(id)"  # by which a dead letter's event is fetched
    also = {own_key} if isinstance(request_, ListDeadLettersRequest) else set()
    wanted = {index.format(first)} | also
    assert {columns.get(name, "every row") for _, name in scans} == wanted


@pytest.fixture
async def waiting(log: asyncpg.Connection) -> None:
    """Waits of a large organisation and a small one."""
    await log.execute(
        "INSERT INTO webhook_waits (delivery_id, attempt, org_id, event_type, reason, due_at,"
        " headers, body) SELECT gen_random_uuid(), 2, CASE WHEN n % 300 = 0 THEN $1::uuid ELSE"
        " $2::uuid END, 'hang', 'retry', now() + n * interval '1 second', '{}',"
        " decode(repeat('ab', 1000), 'hex') FROM generate_series(1, 6000) AS n",
        THEIRS,
        OURS,
    )
    await log.execute("VACUUM ANALYZE webhook_waits")


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    ("caller", "index"),
    [(None, "webhook_waits_due_at"), (OURS, "webhook_waits_org"), (THEIRS, "webhook_waits_org")],
)
async def test_a_list_of_waits_reads_its_own_page(
    watched: Any, plans: ExecutedPlans, caller: Any, index: str
) -> None:
    """Also at the tenth call, when the plan is a generic one, and on the second page."""
    for _ in range(10):
        first = await watched.list_waiting(ListWaitingRequest(page_size=5), as_org(caller))
    await eventually(lambda: plans.count > 0)
    plans.clear()

    request = ListWaitingRequest(page_size=5, page_token=first.next_page_token)
    page = await watched.list_waiting(request, as_org(caller))

    await eventually(lambda: len(plans.scans) > 0)
    assert len(page.waiting) == 5
    [scan] = plans.scans
    assert (scan.index, scan.rows_read <= 10) == (index, True)


@pytest.mark.usefixtures("waiting")
async def test_counts_of_waits_read_only_an_index(
    access: Access, log: asyncpg.Connection, plans: ExecutedPlans
) -> None:
    """The messages in the table may be large."""
    no_pool: Any = None
    waits = await LogReader(no_pool, access).waits(30)
    await plans.watch(log)
    await log.fetch(load("ringback.services.metrics.polling", "waits.sql"))

    await eventually(lambda: plans.count > 0)
    assert waits[WaitReason.RETRY].count == 6000
    assert {scan.index for scan in plans.scans} == {"webhook_waits_reason"}


@pytest.mark.parametrize("caller", [None, OURS, THEIRS])
@pytest.mark.parametrize(
    "request_",
    [
        ListDeliveriesRequest(event_type="rare"),
        ListDeliveriesRequest(status=DELIVERY_STATUS_DEAD_LETTER),
        ListDeliveriesRequest(error_class="rare"),
        ListDeliveriesRequest(call_id="c-1"),
        ListDeliveriesRequest(call_id="c-1", error_class="rare"),
        ListDeliveriesRequest(job_id_prefix=TODAY, event_type="rare"),
        ListDeliveriesRequest(job_id_prefix=TODAY),
    ],
)
async def test_each_filter_reads_a_bounded_number_of_webhooks(
    watched_access: Access, plans: ExecutedPlans, request_: ListDeliveriesRequest, caller: Any
) -> None:
    """Also a call with more webhooks than that, and at the tenth call."""
    api = Deliveries(watched_access, DEFAULT_REDACTION, max_scanned=3)
    asked = ListDeliveriesRequest(page_size=2)
    asked.MergeFrom(request_)
    for _ in range(10):
        plans.clear()
        await api.list_deliveries(asked, as_org(caller))
        await eventually(lambda: plans.count > 0)

    assert sum(scan.rows_read for scan in plans.scans) <= 20


@pytest.mark.parametrize(
    ("caller", "run_id"),
    [(None, RUN), (OURS, RUN), (THEIRS, THEIR_RUN), (OURS, RUN_OF_ALL), (THEIRS, RUN_OF_ALL)],
)
@pytest.mark.parametrize("more", [{}, {"call_id": "c-1", "event_type": "rare"}])
async def test_a_retry_run_reads_a_page_of_its_own(
    watched_access: Access, plans: ExecutedPlans, caller: Any, run_id: UUID, more: dict[str, Any]
) -> None:
    """Also for a small organisation, whose webhooks are a few of a run."""
    api = Deliveries(watched_access, DEFAULT_REDACTION, max_scanned=3)
    asked = ListDeliveriesRequest(run_id=str(run_id), page_size=2, **more)
    for _ in range(10):
        plans.clear()
        await api.list_deliveries(asked, as_org(caller))
        await eventually(lambda: plans.count > 0)

    assert sum(scan.rows_read for scan in plans.scans) <= 8, plans.scans


async def test_a_full_page_leaves_older_days_alone(watched: Any, plans: ExecutedPlans) -> None:
    """Days are read one after the other, newest first."""
    await watched.list_deliveries(ListDeliveriesRequest(page_size=2), as_org(OURS))

    assert len({table for table, _ in await settled(plans)}) <= 2


@pytest.mark.parametrize("caller", [None, OURS])
async def test_a_range_of_time_leaves_other_days_alone(
    watched: Any, plans: ExecutedPlans, caller: Any
) -> None:
    """Its bounds are ids too."""
    request = ListDeliveriesRequest()
    request.start_time.FromDatetime(MIDNIGHT - timedelta(days=2))
    request.end_time.FromDatetime(MIDNIGHT - timedelta(days=1, seconds=1))

    await watched.list_deliveries(request, as_org(caller))

    assert {table for table, _ in await settled(plans)} == {
        f"webhook_delivery_log_{NOW - timedelta(days=2):%Y%m%d}"
    }
