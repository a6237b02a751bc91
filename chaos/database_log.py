"""How webhooks ended, read from the database: all that was stored, answered or not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import asyncpg

from chaos.load.ledger import Offered
from chaos.verdict import Logged
from ringback.runtime.queries import load

_AT_ONCE = 2000

T = TypeVar("T")


async def logged(connection: asyncpg.Connection, offers: Sequence[Offered]) -> list[Logged]:
    """Read what the log holds of the events that were offered."""
    found = []
    for events in _parts(sorted({offer.event for offer in offers})):
        found += await connection.fetch(load("chaos", "logged.sql"), events)
    return [Logged(**row) for row in found]


async def effects(
    connection: asyncpg.Connection, offers: Sequence[Offered]
) -> Mapping[str, int] | None:
    """Count the effects of each event; None where the suite's table was never made."""
    if not await connection.fetchval(load("chaos", "has_effects.sql")):
        return None
    found = []
    for events in _parts(sorted({offer.event for offer in offers})):
        found += await connection.fetch(load("chaos", "effects.sql"), events)
    return {row["event"]: row["effects"] for row in found}


def accepted_ids(offers: Sequence[Offered]) -> list[UUID]:
    """Give the job ids of what was accepted, in the order of their making."""
    return sorted(UUID(offer.job_id) for offer in offers if offer.is_accepted and offer.job_id)


async def unfinished(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Give those of these webhooks, sorted, that have not come to their end, sorted too."""
    left: list[UUID] = []
    for part in _parts(ids):
        rows = await connection.fetch(load("chaos", "unfinished.sql"), part, part[0], part[-1])
        left += [row["id"] for row in rows]
    return sorted(left)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[place : place + _AT_ONCE] for place in range(0, len(items), _AT_ONCE))
