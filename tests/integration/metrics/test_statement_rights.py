"""Each statement of the metrics service, with the rights of those for whom it is run."""

from pathlib import Path

import asyncpg
import pytest

from ringback.runtime.postgres.queries import load
from tests.support.database_roles import METRICS, OPERATOR, SERVICE, TENANT, TENANT_OPERATOR, url_as

STATEMENTS = sorted((Path(__file__).parents[3] / "services/metrics").glob("*/sql/*.sql"))

READERS = (TENANT, SERVICE)
OPERATORS = (TENANT_OPERATOR, OPERATOR)
OWN_READINGS = {
    "alert_example.sql",
    "alert_groups.sql",
    "alert_unresolved.sql",
    "log_stats.sql",
}
OWN_WORK = {
    "alert_close.sql",
    "alert_release_lease.sql",
    "alert_fold.sql",
    "alert_prune.sql",
    "alert_mark_sent.sql",
    "alert_acquire_lease.sql",
    "set_role.sql",
    "fold_ledger.sql",
    "fold_statistics.sql",
    "prune_statistics.sql",
    "retry_prune.sql",
    "unresolved_dead_letters.sql",
}
CHANGES = {
    "discard_webhook.sql",
    "retry_mark_published.sql",
    "retry_message.sql",
    "retry_run_audit.sql",
    "retry_webhook.sql",
    "run_duplicate.sql",
}


def roles_of(name: str) -> tuple[str, ...]:
    """The roles that run a statement. An unlisted one is a read for callers."""
    if name in OWN_WORK:
        return (METRICS,)
    if name in OWN_READINGS:
        return (SERVICE,)
    if name in {"set_processing.sql", "retry_lease.sql", "retry_release.sql"}:
        return (OPERATOR,)
    return OPERATORS if name in CHANGES else READERS


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
async def test_it_may_be_run_by_those_for_whom_it_is(database_url: str, path: Path) -> None:
    """A missing right fails here, and does not look like an unavailable database."""
    for role in roles_of(path.name):
        session = await asyncpg.connect(url_as(database_url, role))

        # EXPLAIN needs the same rights as running the statement.
        package = f"services.metrics.{path.parents[1].name}"
        await session.execute(f"EXPLAIN (GENERIC_PLAN) {load(package, path.name)}")

        await session.close()
