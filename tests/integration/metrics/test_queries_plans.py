"""The cost of the queries: the daily partitions and the indexes that they read."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.metrics.v1.delivery_pb2 import DELIVERY_STATUS_DEAD_LETTER
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
)
from services.metrics.app import queries
from services.metrics.auth.access import Access
from services.metrics.queries.queue_snapshot import QueueSnapshot
from tests.integration.metrics.queried_log import OURS, THEIRS, LogRow, as_org, dead, rpcs, write
from tests.support.eventually import eventually
from tests.support.executed_plans import ExecutedPlans

pytestmark = pytest.mark.slow

_DAY = re.compile(r"webhook_delivery_(?:log|attempts)_(\d{8})")
DAY = 86400.0
NOW = datetime.now(UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
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
    await log.execute("ANALYZE webhook_delivery_log")
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
async def watched(
    full: asyncpg.Connection, database_url: str, plans: ExecutedPlans
) -> AsyncGenerator[Any, None]:
    """The reads over one connection whose plans are collected."""
    assert full is not None
    connection = await asyncpg.connect(database_url, command_timeout=30)
    await plans.watch(connection)
    pool: Any = OneConnection(connection)
    yield rpcs(*queries(Access(pool), QueueSnapshot(count_max_age_s=10), DEFAULT_REDACTION))
    await connection.close()


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
UNRESOLVED = "((error_class IS NOT NULL) AND (resolution IS NULL))"


@pytest.mark.parametrize(
    ("request_", "index"),
    [
        (ListDeliveriesRequest(page_size=2), "({}id)"),
        (
            ListDeliveriesRequest(page_size=2, status=DELIVERY_STATUS_DEAD_LETTER),
            f"({{}}id) WHERE {ERROR}",
        ),
        (ListRecentFailuresRequest(limit=2), f"({{}}id) WHERE {ERROR}"),
        (ListDeadLettersRequest(page_size=2), f"({{}}id) WHERE {UNRESOLVED}"),
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
