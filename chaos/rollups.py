"""Whether the counts beside the log match the log: statistics, ledger, partitions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from ringback.metrics import MetricsClient
from ringback.metrics.v1.metrics_service_pb2 import DeliverySummary
from ringback.runtime.postgres.queries import load

_COUNTED = ("completed", "failed", "dead_letter", "pending")
_DAYS_AHEAD = 7


async def rollup_faults(
    connection: asyncpg.Connection, clients: Sequence[MetricsClient], accepted: int
) -> list[str]:
    """A sentence for each wrong count; empty if all are right. Run it when all is finished.

    Each metrics service is queried. `accepted` is how often clients were answered 200.
    """
    summaries = [(await client.delivery_stats("24h")).summary for client in clients]
    totals = await connection.fetchrow(load("chaos", "totals.sql"))
    return list(faults(dict(totals or {}), summaries, accepted))


def faults(
    totals: Mapping[str, Any], summaries: Sequence[DeliverySummary], accepted: int
) -> Iterator[str]:
    """Compare the totals of the log with the summaries and with the accepted count. Pure."""
    for number, summary in enumerate(summaries, start=1):
        for name in _COUNTED:
            told = getattr(summary, name)
            if told != totals[name]:
                yield f"Metrics service {number} counts {told} {name}, the log {totals[name]}."
    if totals["accepted"] != accepted:
        yield f"The ledger says {totals['accepted']} were accepted, the clients {accepted}."
    if totals["deficit"]:
        yield f"{totals['deficit']} accepted webhooks have no row."
    if totals["days_ahead"] < _DAYS_AHEAD:
        yield f"Only {totals['days_ahead']} days have their partitions."
