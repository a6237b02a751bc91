"""With a database, an attempt commits or rolls back as in production, with the same rights."""

from typing import Any

import asyncpg

from ringback.contract.identity import JobId, new_job_id
from ringback.handlers import Event, handles
from ringback.testing import Attempted, Effect, attempt

HANG = {"message": {"type": "hang", "call": {"id": "call-1"}}}
INSERT = "INSERT INTO my_calls VALUES ($1)"


@handles("hang", transaction=True)
async def write(event: Event, connection: asyncpg.Connection) -> None:
    await connection.execute(INSERT, event.call_id)


@handles("hang", transaction=True)
async def write_and_fail(event: Event, connection: asyncpg.Connection) -> None:
    await connection.execute(INSERT, event.call_id)
    raise ValueError("after the write")


@handles("hang", transaction=True)
async def commit(event: Event, connection: asyncpg.Connection) -> None:
    await connection.execute(INSERT, event.call_id)
    await connection.execute("COMMIT")


@handles("hang")
async def plain(_: Event) -> None:
    """Do nothing."""


async def created(url: str, *, grant: bool = True) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE my_calls (call_id text)")
    if grant:
        await connection.execute("GRANT INSERT ON my_calls TO ringback_processor")
    return connection


async def count(connection: asyncpg.Connection, table: str = "my_calls") -> Any:
    return await connection.fetchval(f"SELECT count(*) FROM {table}")  # ruff: ignore[hardcoded-sql-expression]


async def test_effects_commit_with_the_attempt(ringback_database_url: str) -> None:
    """A second delivery of the same webhook runs nothing and has the recorded outcome."""
    database = await created(ringback_database_url)
    job_id = new_job_id()

    first = await attempt([write, plain], HANG, database_url=ringback_database_url, job_id=job_id)
    again = await attempt([write, plain], HANG, database_url=ringback_database_url, job_id=job_id)

    assert (first.outcome, first.effects) == ("completed", (Effect(INSERT, ("call-1",)),))
    assert (again.outcome, again.effects) == ("completed", ())
    assert await count(database) == 1
    assert await count(database, "webhook_delivery_attempts") == 1
    await database.close()


async def test_an_ordered_webhook_waits_for_an_earlier_one_of_its_call(
    ringback_database_url: str,
) -> None:
    """The attempt is not used. The earlier one keeps its turn until it has ended."""
    runs: list[tuple[JobId, int]] = []

    @handles("hang", ordered_by="call_id")
    async def follow(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
        runs.append((event.job_id, event.attempt))
        if len(runs) == 1:
            raise ValueError("the first run")

    first, second = sorted([new_job_id(), new_job_id()])

    async def run(job_id: JobId, number: int = 1) -> Attempted:
        return await attempt(
            follow, HANG, database_url=ringback_database_url, job_id=job_id, attempt=number
        )

    outcomes = [(await run(first)).outcome, (await run(second)).outcome]
    outcomes += [(await run(first, 2)).outcome, (await run(second)).outcome]

    assert outcomes == ["failed", None, "completed", "completed"]
    assert runs == [(first, 1), (first, 2), (second, 1)]


async def test_a_failure_rolls_back(ringback_database_url: str) -> None:
    """It is recorded with its error, and its misuse of the connection is named."""
    database = await created(ringback_database_url)

    failed = await attempt(write_and_fail, HANG, database_url=ringback_database_url, attempt=4)
    misused = await attempt(commit, HANG, database_url=ringback_database_url)

    assert (failed.outcome, failed.effects, failed.is_dead_letter) == ("failed", (), True)
    assert (failed.error_class, failed.error_message) == ("ValueError", "after the write")
    assert (misused.outcome, misused.error_class) == ("failed", "ConnectionMisuse")
    assert await count(database) == 1  # what `commit` committed itself
    await database.close()


async def test_a_missing_grant_fails_as_in_production(ringback_database_url: str) -> None:
    database = await created(ringback_database_url, grant=False)

    result = await attempt(write, HANG, database_url=ringback_database_url)

    assert (result.outcome, result.error_class) == ("failed", "InsufficientPrivilegeError")
    assert isinstance(result.error, asyncpg.InsufficientPrivilegeError)
    await database.close()
