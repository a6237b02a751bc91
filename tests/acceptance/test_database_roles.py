"""The three real processes, each with the rights of its own database role."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from ringback import samples
from tests.acceptance.whole import SERVICES, Whole, whole_ringback
from tests.support.eventually import eventually

OLD_DAY = datetime.now(UTC).date() - timedelta(days=40)


async def test_each_service_does_all_of_its_work_as_its_role(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Rows and the ledger by the gateway; days, cleaning and the heartbeat by the processor; the
    statistics by the metrics service. Nothing was refused to any of them.
    """
    await _make_an_old_day(database_url)

    async with whole_ringback(amqp_url, database_url, tmp_path) as whole:
        job_ids = [await whole.accepted(samples.sample(name)) for name in samples.call_names()]
        await whole.settled(job_ids)

        await eventually(lambda: _is(whole, "SELECT sum(accepted) > 0 FROM webhook_gateway_ledger"))
        await eventually(lambda: _is(whole, "SELECT count(*) = 1 FROM webhook_processors"))
        await eventually(
            lambda: _is(
                whole, f"SELECT to_regclass('webhook_delivery_log_{OLD_DAY:%Y%m%d}') IS NULL"
            )
        )
        await eventually(
            lambda: _is(
                whole,
                "SELECT NOT EXISTS (SELECT FROM webhook_stats_deltas)"
                " AND EXISTS (SELECT FROM webhook_stats)",
            )
        )

    for name in SERVICES:
        told = (tmp_path / f"{name}.log").read_text(encoding="utf-8").lower()
        assert "permission denied" not in told, name
        assert "insufficientprivilege" not in told, name
        assert "row-level security" not in told, name


async def _is(whole: Whole, question: str) -> bool:
    return bool(await whole.database.fetchval(question))


async def _make_an_old_day(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", OLD_DAY)
    await connection.close()
