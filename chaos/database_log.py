"""How webhooks ended, from the database: everything stored, answered or not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import asyncpg

from chaos.load.ledger import Offered
from chaos.verdict import Logged
from ringback.runtime.postgres.queries import load

_AT_ONCE = 2000

T = TypeVar("T")


async def logged(connection: asyncpg.Connection, offers: Sequence[Offered]) -> list[Logged]:
    """Read the log's rows for the events that were offered."""
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
    return (items[place : place + _AT_ONCE] for place in range(0, len(items), _AT_ONCE))
