"""Tests for webhook_id_at and webhook_created_at: SQL and Python read the same time of an id."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import created_at, job_id_of, new_job_id

DAY = datetime(2026, 3, 29, tzinfo=UTC)
MOMENTS = [
    DAY,  # a day begins
    DAY - timedelta(milliseconds=1),
    DAY + timedelta(milliseconds=1),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2000, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2199, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
async def test_a_moment_comes_back(connection: asyncpg.Connection, zone: str) -> None:
    """It is exact to the millisecond, in any time zone of the session."""
    await connection.execute(f"SET timezone = '{zone}'")

    rows = await connection.fetch(
        "SELECT m AS moment, webhook_id_at(m) AS id, webhook_created_at(webhook_id_at(m)) AS back"
        " FROM unnest($1::timestamptz[]) AS m",
        MOMENTS,
    )

    for row in rows:
        job_id = job_id_of(str(row["id"]))
        assert job_id is not None
        assert created_at(job_id) == row["moment"] == row["back"]


async def test_both_agree_about_any_id(connection: asyncpg.Connection) -> None:
    """New ids, and ids of the centuries around us."""
    chance = random.Random(7)
    ids: list[UUID] = [new_job_id() for _ in range(200)]
    ids += [
        UUID(
            int=chance.randrange(7_258_118_400_000) << 80
            | 7 << 76
            | 1 << 63
            | chance.getrandbits(62)
        )
        for _ in range(2_000)
    ]

    rows = await connection.fetch(
        "SELECT id, webhook_created_at(id) AS moment FROM unnest($1::uuid[]) AS id", ids
    )

    for row in rows:
        job_id = job_id_of(str(row["id"]))
        assert job_id is not None
        assert created_at(job_id) == row["moment"]


async def test_an_id_is_the_least_of_its_millisecond(connection: asyncpg.Connection) -> None:
    """So a range of time is a range of ids: from the first of one to the first of the other."""
    for job_id in [new_job_id() for _ in range(100)]:
        moment = created_at(job_id)

        [(low, high)] = await connection.fetch(
            "SELECT webhook_id_at($1), webhook_id_at($1::timestamptz + interval '1 ms')", moment
        )

        assert low <= job_id < high


async def test_less_than_a_millisecond_is_cut(connection: asyncpg.Connection) -> None:
    """A border within a millisecond excludes no id of that millisecond."""
    is_one = await connection.fetchval(
        "SELECT webhook_id_at('2026-01-01 00:00:00.0019Z')"
        " = webhook_id_at('2026-01-01 00:00:00.001Z')"
    )

    assert is_one
