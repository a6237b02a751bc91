"""What the statements cost: one day is read, and updates stay within their page."""

import json
import re
from datetime import UTC, datetime, timedelta

import asyncpg

from tests.integration.migrations.log_calls import (
    End,
    Webhook,
    accept,
    begin,
    bury,
    finish,
)
from tests.support.eventually import eventually

TODAY = f"{datetime.now(UTC):%Y%m%d}"
_DAY = re.compile(r"webhook_delivery_(?:log|attempts)_(\d{8})")


class Plans:
    """Collects the plans that were executed inside the functions, by auto_explain."""

    def __init__(self) -> None:
        self.scanned_days: set[str] = set()
        self.most_rows_read: dict[str, int] = {}
        self.plans = 0

    async def watch(self, connection: asyncpg.Connection) -> None:
        connection.add_log_listener(self._note)
        await connection.execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;"
            " SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on;"
            " SET auto_explain.log_format = 'json'; SET client_min_messages = log"
        )

    def _note(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        text = str(message)
        if "plan:" not in text:
            return
        self.plans += 1
        self._walk(json.loads(text[text.index("{") : text.rindex("}") + 1])["Plan"])

    def _walk(self, node: dict[str, object]) -> None:
        """Collect the days that were really read: a pruned one is absent, or never executed."""
        table = str(node.get("Relation Name", ""))
        if table and node.get("Actual Loops") and "Scan" in str(node["Node Type"]):
            self.most_rows_read[table] = max(self.most_rows_read.get(table, 0), _rows_read(node))
            if day := _DAY.fullmatch(table):
                self.scanned_days.add(day[1])
        for child in node.get("Plans", []):  # type: ignore[attr-defined]  # a list of nodes
            self._walk(child)


def _rows_read(node: dict[str, object]) -> int:
    """How many rows a scan read, including those that it skipped."""
    looked_at = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows = sum(float(str(node.get(name, 0))) for name in looked_at)
    return round(rows * float(str(node["Actual Loops"])))


async def test_a_plan_that_was_made_early_reads_no_more_later(
    connection: asyncpg.Connection,
) -> None:
    """A plan made with empty tables, before the server counted them, uses the indexes."""
    await connection.execute("ALTER TABLE webhook_inbox SET (autovacuum_enabled = false)")
    first, *later = [Webhook(dedup_key=f"{n}") for n in range(1501)]
    for batch in ([first], *(later[start : start + 100] for start in range(0, 1500, 100))):
        await accept(connection, *batch)
        await begin(connection, *batch)
        await finish(connection, *(End(webhook) for webhook in batch))
    plans = Plans()
    await plans.watch(connection)

    last = Webhook(dedup_key="the last")
    await accept(connection, last)
    await begin(connection, last)
    await finish(connection, End(last))
    await bury(connection, Webhook(dedup_key="buried"))

    await eventually(lambda: plans.plans > 10)
    assert plans.most_rows_read
    assert {name: rows for name, rows in plans.most_rows_read.items() if rows > 5} == {}


async def test_only_the_day_of_the_webhooks_is_read(connection: asyncpg.Connection) -> None:
    """Of nine days the functions touch one, also when their plans are made once for all calls."""
    plans = Plans()
    await plans.watch(connection)
    webhooks = [Webhook(dedup_key=f"{n}") for n in range(30)]
    await accept(connection, *webhooks[:20])

    for first in range(0, 30, 3):
        batch = webhooks[first : first + 3]
        await begin(connection, *batch)
        await finish(connection, *(End(w, "failed", 1, ("E", "e")) for w in batch))
        await finish(connection, *(End(w, "completed", 2) for w in batch[1:]))
        await bury(connection, batch[0])

    await eventually(lambda: plans.plans > 100)
    assert plans.scanned_days == {TODAY}


async def test_a_range_of_time_reads_its_days(connection: asyncpg.Connection) -> None:
    """A query for a time passes ids too, and then other days are pruned."""
    now = datetime.now(UTC)

    explained = await connection.fetch(
        "EXPLAIN SELECT * FROM webhook_delivery_log WHERE created_at >= $1"
        " AND id >= webhook_id_at($1) AND id < webhook_id_at($2)",
        now - timedelta(minutes=1),
        now,
    )

    days = set(_DAY.findall("\n".join(row[0] for row in explained)))
    assert days <= {TODAY, f"{now - timedelta(minutes=1):%Y%m%d}"}


async def test_a_successful_attempt_is_a_hot_update(connection: asyncpg.Connection) -> None:
    """No index is written and the payload is not copied, however long the log is."""
    table = f"webhook_delivery_log_{TODAY}"
    payload = json.dumps({"type": "hang", "text": "x" * 17_000})
    webhooks = [Webhook(dedup_key=f"{n}", event_data=payload) for n in range(60)]
    await accept(connection, *webhooks)
    stored = await _payload_bytes(connection, table)
    before = await _updates(connection, table)

    for webhook in webhooks:
        await begin(connection, webhook)
        await finish(connection, End(webhook))

    async def counted() -> tuple[int, int] | None:
        every, hot = await _updates(connection, table)
        done = every - before[0], hot - before[1]
        return done if done[0] >= 120 else None

    every, hot = await eventually(counted)
    # The server may vacuum or analyze meanwhile, and a page that it reads cannot be cleaned up.
    assert every == 120
    assert hot >= 115
    assert await _payload_bytes(connection, table) == stored


async def _updates(connection: asyncpg.Connection, table: str) -> tuple[int, int]:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    [row] = await connection.fetch(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table
    )
    return row["n_tup_upd"], row["n_tup_hot_upd"]


async def _payload_bytes(connection: asyncpg.Connection, table: str) -> int:
    size: int = await connection.fetchval(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = $1", table
    )
    return size
