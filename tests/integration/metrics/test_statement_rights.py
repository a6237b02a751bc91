"""Each statement of the metrics service, with the rights of those for whom it is run."""

from pathlib import Path

import asyncpg

from ringback.runtime.postgres.queries import load
from tests.support.database_roles import METRICS, OPERATOR, SERVICE, TENANT, TENANT_OPERATOR, url_as

STATEMENTS = sorted((Path(__file__).parents[3] / "ringback/services/metrics").glob("*/sql/*.sql"))

READERS = (TENANT, SERVICE)
OPERATORS = (TENANT_OPERATOR, OPERATOR)
OWN_READINGS = {
    "alert_example.sql",
    "alert_groups.sql",
    "alert_unresolved.sql",
    "log_stats.sql",
    "stopped_forwards.sql",
}
OWN_WORK = {
    *("alert_close.sql", "alert_release_lease.sql", "alert_fold.sql", "alert_prune.sql"),
    *("alert_mark_sent.sql", "alert_acquire_lease.sql", "stopped_forwards_close.sql"),
    *("set_role.sql", "fold_ledger.sql", "fold_statistics.sql", "prune_statistics.sql"),
    *("retry_prune.sql", "unresolved_dead_letters.sql", "use_code.sql"),
}
CHANGES = {
    *("discard_webhook.sql", "retry_mark_published.sql", "retry_message.sql"),
    *("replay_webhook.sql", "retry_run_create.sql", "retry_run_change.sql"),
    *("retry_run_follow.sql", "retry_webhook.sql", "run_duplicate.sql"),
    *("change_waits.sql", "create_code.sql"),
}


def roles_of(name: str) -> tuple[str, ...]:
    """The roles that run a statement. An unlisted one is a read for callers."""
    if name in OWN_WORK:
        return (METRICS,)
    if name in OWN_READINGS:
        return (SERVICE,)
    if name in {
        *("retry_lease.sql", "retry_release.sql", "retry_run_lease.sql", "retry_run_save.sql"),
        *("retry_run_end.sql", "retry_run_postpone.sql", "retry_run_release.sql"),
        *("set_destination.sql", "set_processing.sql"),
    }:
        return (OPERATOR,)
    if name == "gateways.sql":
        return (SERVICE,)
    if name == "destinations.sql":
        return (SERVICE, OPERATOR)
    return OPERATORS if name in CHANGES else READERS


async def test_each_statement_may_be_run_by_those_for_whom_it_is(database_url: str) -> None:
    """A missing right fails here, and does not look like an unavailable database."""
    refused = []
    for role in (METRICS, *READERS, *OPERATORS):
        session = await asyncpg.connect(url_as(database_url, role))
        for path in STATEMENTS:
            if role in roles_of(path.name):
                # EXPLAIN needs the same rights as running the statement.
                package = f"ringback.services.metrics.{path.parents[1].name}"
                try:
                    await session.execute(f"EXPLAIN (GENERIC_PLAN) {load(package, path.name)}")
                except asyncpg.InsufficientPrivilegeError:
                    refused.append((role, path.name))
        await session.close()

    assert refused == []
