"""Whether the counts beside the log match the log: statistics, ledger, partitions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from ringback.metrics import MetricsClient
from ringback.metrics.v1.metrics_service_pb2 import DeliverySummary
from ringback.runtime.postgres.queries import load

_COUNTED = ("completed", "failed", "dead_letter", "pending")
_DAYS_AHEAD = 7


async def wrong_counts(
    connection: asyncpg.Connection,
    clients: Sequence[MetricsClient],
    accepted: int,
    unanswered: int = 0,
) -> list[str]:
    """Give a sentence for each wrong count; empty if all are right. All must be finished.

    It queries each metrics service. `accepted` is how many answers of 200 the clients got; of the
    `unanswered` requests, any number may be accepted, too.
    """
    summaries = [(await client.delivery_stats("24h")).summary for client in clients]
    totals = await connection.fetchrow(load("chaos", "totals.sql"))
    return list(compare(dict(totals or {}), summaries, accepted, unanswered))


def compare(
    totals: Mapping[str, Any],
    summaries: Sequence[DeliverySummary],
    accepted: int,
    unanswered: int = 0,
) -> Iterator[str]:
    """Compare the totals of the log with the summaries and with the accepted count. Pure."""
    for number, summary in enumerate(summaries, start=1):
        for name in _COUNTED:
            counted = getattr(summary, name)
            if counted != totals[name]:
                yield f"Metrics service {number} counts {counted} {name}, the log {totals[name]}."
    if not accepted <= totals["accepted"] <= accepted + unanswered:
        yield f"The ledger counts {totals['accepted']} accepted webhooks, the clients {accepted}."
    if totals["deficit"]:
        yield f"{totals['deficit']} accepted webhooks have no row."
    if totals["days_ahead"] < _DAYS_AHEAD:
        yield f"Only the next {totals['days_ahead']} days have partitions."
