"""GetDeliveryStats against a real database, as the roles that callers have there."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryStatsRequest,
    GetDeliveryStatsResponse,
)
from services.metrics.auth.access import Access
from services.metrics.queries.delivery_stats import DeliveryStats
from tests.integration.metrics.queried_log import as_org
from tests.integration.migrations.log_calls import End, Webhook, accept, bury, finish

ONE, TWO, NOBODY = UUID(int=1), UUID(int=2), UUID(int=3)
EVERYBODY = UUID(int=2**128 - 1)
ERROR = ("TimeoutError", "It took too long.")


@pytest.fixture
async def stats(log: asyncpg.Connection, access: Access) -> DeliveryStats:
    """Webhooks of two organisations: four of one, two of the other; half of them folded."""
    done, failed, dead, new = (Webhook(org_id=ONE) for _ in range(4))
    await finish(log, End(done), End(failed, "failed", 2, ERROR))
    await accept(log, new)
    await log.execute("SELECT fold_webhook_stats(10)")
    await bury(log, dead)
    await finish(log, *(End(Webhook(org_id=TWO)) for _ in range(2)))
    return DeliveryStats(access)


async def ask(
    stats: DeliveryStats, caller: UUID | None, range_: str = "", org_id: str = ""
) -> GetDeliveryStatsResponse:
    request = GetDeliveryStatsRequest(range=range_, org_id=org_id)
    return await stats.get_delivery_stats(request, as_org(caller))


async def test_a_service_sees_all_orgs_or_one(stats: DeliveryStats) -> None:
    """Without an organisation it gets everything, with one only that."""
    everything = await ask(stats, None)
    one = await ask(stats, None, org_id=str(ONE))

    assert everything.summary.total == 6
    assert everything.summary.success_rate == "60.00%"
    assert everything.by_event_type["hang"].failed == 2
    assert one.summary.total == 4
    assert (one.summary.completed, one.summary.failed, one.summary.dead_letter) == (1, 1, 1)
    assert one.summary.pending == 1
    assert one.summary.avg_attempts == "2.33"


@pytest.mark.parametrize(("caller", "total"), [(ONE, 4), (TWO, 2), (NOBODY, 0)])
async def test_a_tenant_sees_only_its_own(stats: DeliveryStats, caller: UUID, total: int) -> None:
    """With its own organisation or without; it gets nothing of another, nor of all together."""
    for org_id in ("", str(caller)):
        assert (await ask(stats, caller, org_id=org_id)).summary.total == total
    for other in {ONE, TWO, EVERYBODY} - {caller}:
        assert (await ask(stats, caller, org_id=str(other))).summary.total == 0


async def test_the_answer_contains_the_window(stats: DeliveryStats) -> None:
    """A day by default; the range is returned as it was sent."""
    before = datetime.now(UTC)

    day = await ask(stats, None)
    month = await ask(stats, None, "30d")

    assert (day.time_range, month.time_range) == ("24h", "30d")
    assert day.end_time.ToDatetime(UTC) - before < timedelta(seconds=10)
    span = day.end_time.ToDatetime(UTC) - day.start_time.ToDatetime(UTC)
    assert timedelta(hours=24) <= span < timedelta(hours=24, minutes=1)
    assert month.start_time.ToDatetime(UTC).minute == 0
