"""How webhooks ended: from the database, or from the metrics API without access to it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import TypeVar
from uuid import UUID

import asyncpg

from chaos.load.ledger import Offered
from chaos.verdict import Logged, Verdict, judge
from ringback.metrics import MetricsClient, NotFoundError
from ringback.metrics.v1.delivery_pb2 import ATTEMPT_OUTCOME_COMPLETED, DeliveryStatus
from ringback.runtime.postgres.queries import load

_EVENTS_PER_QUERY = 2000

T = TypeVar("T")


async def logged(connection: asyncpg.Connection, offers: Sequence[Offered]) -> list[Logged]:
    """Read the log's rows for the events that were offered, whether or not they were answered."""
    found = []
    for events in _parts(sorted({offer.event for offer in offers})):
        found += await connection.fetch(load("chaos", "logged.sql"), events)
    return [Logged(**row) for row in found]


async def effects(
    connection: asyncpg.Connection, offers: Sequence[Offered]
) -> Mapping[str, int] | None:
    """Count the effects of each event; None if the suite's table does not exist."""
    if not await connection.fetchval(load("chaos", "has_effects.sql")):
        return None
    found = []
    for events in _parts(sorted({offer.event for offer in offers})):
        found += await connection.fetch(load("chaos", "effects.sql"), events)
    return {row["event"]: row["effects"] for row in found}


async def judged(
    connection: asyncpg.Connection,
    offers: Sequence[Offered],
    began_at: float | None = None,
    ended_at: float | None = None,
) -> Verdict:
    """Compare what was offered with what the database has; the fault's times are as in `judge`."""
    rows, counts = await logged(connection, offers), await effects(connection, offers)
    return judge(offers, rows, counts, fault_began_at=began_at, fault_ended_at=ended_at)


def accepted_ids(offers: Sequence[Offered]) -> list[UUID]:
    """Give the job ids of the accepted webhooks, in creation order."""
    return sorted(UUID(offer.job_id) for offer in offers if offer.is_accepted and offer.job_id)


async def unfinished(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Give those of these webhooks that have not ended. Input and result are sorted."""
    left: list[UUID] = []
    for part in _parts(ids):
        rows = await connection.fetch(load("chaos", "unfinished.sql"), part, part[0], part[-1])
        left += [row["id"] for row in rows]
    return sorted(left)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (
        items[place : place + _EVENTS_PER_QUERY]
        for place in range(0, len(items), _EVENTS_PER_QUERY)
    )


_CALLS_AT_ONCE = 16


async def logged_by_metrics(client: MetricsClient, offers: Sequence[Offered]) -> list[Logged]:
    """Ask the metrics API about each accepted webhook. Raises MetricsError."""
    gate = asyncio.Semaphore(_CALLS_AT_ONCE)
    accepted = [offer for offer in offers if offer.is_accepted]
    found = await asyncio.gather(*(_ask(client, offer, gate) for offer in accepted))
    return [one for one in found if one is not None]


async def _ask(client: MetricsClient, offer: Offered, gate: asyncio.Semaphore) -> Logged | None:
    assert offer.job_id is not None
    async with gate:
        try:
            answer = await client.delivery(offer.job_id)
        except NotFoundError:
            return None
    delivery = answer.delivery
    ended = delivery.completed_at if delivery.HasField("completed_at") else delivery.last_attempt_at
    return Logged(
        job_id=offer.job_id,
        event=offer.event,
        status=DeliveryStatus.Name(delivery.status).removeprefix("DELIVERY_STATUS_").lower(),
        attempts=delivery.attempts,
        completions=sum(one.outcome == ATTEMPT_OUTCOME_COMPLETED for one in answer.attempts),
        finished_at=ended.ToDatetime(UTC).timestamp() if ended.ByteSize() else None,
    )
