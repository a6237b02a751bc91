"""The audit of changes: who sees which rows, by filter and page by page, in a large table too."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import Change, ChangeAction
from ringback.metrics.v1.metrics_service_pb2 import ListChangesRequest
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.queries.changes import NEWEST
from tests.integration.metrics.queried_log import OURS, THEIRS, all_pages
from tests.support.eventually import eventually
from tests.support.executed_plans import ExecutedPlans

NOON = datetime(2026, 1, 27, 12, tzinfo=UTC)
JOB = UUID(int=1)


async def add(log: asyncpg.Connection, minute: int, action: str, **values: Any) -> None:
    row: dict[str, Any] = {"actor": "anna", "org_id": OURS, "job_id": None, "details": {}} | values
    await log.execute(
        "INSERT INTO webhook_audit (at, actor, role, org_id, action, job_id, reason, details)"
        " VALUES ($1, $2, 'service', $3, $4, $5, 'Why.', $6::text::jsonb)",
        NOON + timedelta(minutes=minute),
        row["actor"],
        row["org_id"],
        action,
        row["job_id"],
        json.dumps(row["details"]),
    )


@pytest.fixture
async def audit(log: asyncpg.Connection) -> None:
    """Five changes; the last two at the same moment."""
    await add(log, 0, "pause", org_id=None)
    await add(log, 1, "retry", job_id=JOB, details={"new_job_id": "n", "run": "r"})
    await add(log, 2, "discard", job_id=uuid4(), actor="ben", org_id=THEIRS)
    await add(log, 3, "set_destination", org_id=None, details={"destination": "crm"})
    await add(log, 3, "bulk_retry", details={"run": "r", "filter": "x" * 5000})


async def listed(api: Any, caller: UUID | None, **fields: Any) -> list[Change]:
    pages = await all_pages(api.list_changes, ListChangesRequest(**fields), caller)
    return [change for page in pages for change in page.changes]


#: A caller, the fields of its request, and the actions that it gets.
LISTS: list[tuple[UUID | None, dict[str, Any], str]] = [
    (None, {}, "bulk_retry set_destination discard retry pause"),
    (None, {"page_size": 1}, "bulk_retry set_destination discard retry pause"),
    (None, {"page_size": 2, "actor": "anna"}, "bulk_retry set_destination retry pause"),
    (None, {"action": ChangeAction.CHANGE_ACTION_PAUSE}, "pause"),
    (None, {"actor": "ben"}, "discard"),
    (None, {"job_id": str(JOB)}, "retry"),
    (None, {"org_id": str(THEIRS)}, "discard"),
    (None, {"start_time": NOON + timedelta(minutes=3)}, "bulk_retry set_destination"),
    (None, {"end_time": NOON + timedelta(minutes=1)}, "pause"),
    (OURS, {}, "bulk_retry retry"),
    (THEIRS, {"job_id": str(JOB)}, ""),
    (THEIRS, {"org_id": str(OURS)}, ""),
]


@pytest.mark.usefixtures("audit")
async def test_a_list_shows_what_the_caller_may_see(api: Any) -> None:
    """Newest first, in pages of any size, with all given filters."""
    words = words_of(ChangeAction.DESCRIPTOR)
    for caller, fields, actions in LISTS:
        found = await listed(api, caller, **fields)

        assert [words[change.action] for change in found] == actions.split(), fields


@pytest.mark.usefixtures("audit")
async def test_a_change_says_what_was_changed(api: Any) -> None:
    """Large details are left out."""
    bulk, destination, _, retry, pause = await listed(api, None)

    assert (retry.job_id, retry.new_job_id, retry.run_id) == (str(JOB), "n", "r")
    assert (retry.actor, retry.role, retry.reason) == ("anna", "service", "Why.")
    assert (retry.org_id, retry.changed_at.ToDatetime(UTC)) == (
        str(OURS), NOON + timedelta(minutes=1),
    )  # fmt: skip
    assert (destination.destination, json.loads(destination.details)) == (
        "crm", {"destination": "crm"},
    )  # fmt: skip
    assert (bulk.run_id, bulk.details_omitted, bulk.HasField("details")) == ("r", True, False)
    assert (pause.HasField("org_id"), pause.HasField("job_id")) == (False, False)


async def test_the_contract_has_every_action(log: asyncpg.Connection) -> None:
    """That the database accepts."""
    condition = await log.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = 'webhook_audit_action_check'"
    )

    accepted = {part for part in condition.split("'") if part.replace("_", "").isalpha()}
    assert accepted == set(words_of(ChangeAction.DESCRIPTOR).values())


@pytest.fixture
async def large(log: asyncpg.Connection) -> asyncpg.Connection:
    """Many retries of one person and organisation, and a few other changes before them."""
    await log.execute(
        "INSERT INTO webhook_audit (at, actor, role, org_id, action, job_id)"
        " SELECT $1::timestamptz + n * interval '1 second', CASE WHEN n < 5 THEN 'ben' ELSE 'anna'"
        " END, 'service', CASE WHEN n < 5 THEN $2::uuid ELSE $3::uuid END,"
        " CASE WHEN n < 5 THEN 'discard' ELSE 'retry' END, gen_random_uuid()"
        " FROM generate_series(1, 20000) AS n",
        NOON,
        THEIRS,
        OURS,
    )
    await add(log, 0, "retry", job_id=JOB)
    await log.execute("VACUUM ANALYZE webhook_audit")
    return log


#: Arguments of the query by their positions, and how many rows match.
FILTERS: list[tuple[dict[int, Any], int]] = [
    ({}, 3),
    ({2: THEIRS}, 4),
    ({3: "discard"}, 4),
    ({3: "pause"}, 0),
    ({4: "ben"}, 4),
    ({4: "nobody"}, 0),
    ({5: JOB}, 1),
    ({6: NOON, 7: NOON + timedelta(seconds=2)}, 2),
]


async def test_a_page_reads_few_rows(large: asyncpg.Connection) -> None:
    """With any filter: an index finds them."""
    plans = ExecutedPlans()
    package = "ringback.services.metrics.queries"
    async with large.transaction():
        await large.execute(load(package, "plan_for_values.sql"))
        await plans.watch(large)
        for filters, rows in FILTERS:
            arguments: list[Any] = [*NEWEST, *[None] * 6, 3, 4096]
            for position, value in filters.items():
                arguments[position] = value
            for _ in range(10):
                found = await large.fetch(load(package, "changes.sql"), *arguments)
            assert len(found) == min(rows, 3), filters

    await eventually(lambda: plans.count >= 10 * len(FILTERS))
    assert max(scan.rows_read for scan in plans.scans) <= 4
