"""Compares second reports of a call's end with the first."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg.pool import PoolConnectionProxy

from ringback.runtime.postgres.queries import load
from services.processor.attempting import Attempting
from services.processor.call_columns import ends_call
from services.processor.shared_query import shared_query

_PACKAGE = "services.processor"


def reports_end(attempting: Attempting) -> bool:
    delivery = attempting.delivery
    return ends_call(delivery.envelope.event_type, delivery.event.message)


async def unchanged_duplicates(
    connection: PoolConnectionProxy, duplicates: Sequence[Attempting]
) -> set[UUID]:
    """The duplicates that add nothing to their first. The others are marked in the log."""
    reports = [attempting for attempting in duplicates if reports_end(attempting)]
    if not reports:
        return set()
    with shared_query("compare_duplicates", [attempting.span for attempting in reports]):
        compared = await connection.fetch(
            load(_PACKAGE, "compare_duplicates.sql"),
            [attempting.delivery.envelope.job_id for attempting in reports],
        )
    return {row["id"] for row in compared if not row["may_differ"]}
