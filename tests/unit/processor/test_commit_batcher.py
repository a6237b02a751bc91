"""Webhooks that end together share a commit."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from operator import itemgetter

import asyncpg
import pytest

from ringback.runtime.postgres.refusal import StatementRefusedError
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.log.commit_batcher import CommitBatcher
from tests.support.eventually import eventually
from tests.unit.clock import Clock


class Database:
    """A fake database that records each commit, and answers as configured."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = 0
        self.now: list[str] = []
        self.ever_twice = False

    async def commit(self, items: Sequence[str]) -> list[str]:
        self.commits.append(list(items))
        keys = [item[0] for item in items]
        self.ever_twice |= len(set(keys)) != len(keys) or bool(set(keys) & set(self.now))
        self.now += keys
        try:
            await self.open.wait()
        finally:
            for key in keys:
                self.now.remove(key)
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError
        if any("bad" in item for item in items):
            raise asyncpg.DataError("bad")
        if any("refused" in item for item in items):
            raise asyncpg.NotNullViolationError("by an owner's rule")
        if any("bug" in item for item in items):
            raise KeyError("bug")
        return [item.upper() for item in items]


async def never() -> bool:
    await asyncio.sleep(0)
    return True


@asynccontextmanager
async def committing(
    store: Database, *, workers: int = 2, clock: Clock | None = None
) -> AsyncGenerator[CommitBatcher[str, str], None]:
    watch = DatabaseWatch(never, wait_s=60, clock=clock or Clock())
    async with CommitBatcher(
        store.commit, itemgetter(0), watch, workers=workers, max_items=100, retry_wait_s=0.001
    ) as group:
        yield group


@asynccontextmanager
async def during_a_commit() -> AsyncGenerator[
    tuple[Database, CommitBatcher[str, str], "asyncio.Task[str]"], None
]:
    """One worker commits `a`, until the database is opened."""
    store = Database()
    store.open.clear()
    async with committing(store, workers=1) as group:
        first = asyncio.create_task(group.submit("a"))
        await eventually(lambda: store.commits)
        yield store, group, first


async def test_those_that_come_during_a_commit_share_the_next() -> None:
    """Each caller gets its own result."""
    async with during_a_commit() as (store, group, first):
        others = [asyncio.create_task(group.submit(item)) for item in "bcdef"]
        await asyncio.sleep(0)

        store.open.set()

        assert await first == "A"
        assert await asyncio.gather(*others) == ["B", "C", "D", "E", "F"]
        assert store.commits == [["a"], ["b", "c", "d", "e", "f"]]


async def test_two_lanes_overlap() -> None:
    """While one lane waits for its commit, the other takes what has arrived."""
    store = Database()
    store.open.clear()
    async with committing(store) as group:
        one = asyncio.create_task(group.submit("a"))
        await eventually(lambda: len(store.commits) == 1)
        two = asyncio.create_task(group.submit("b"))

        await eventually(lambda: len(store.commits) == 2)
        store.open.set()

        assert [await one, await two] == ["A", "B"]


async def test_one_key_is_never_in_flight_twice() -> None:
    """Equal keys are neither in one commit nor in two at once; the later ones follow."""
    store = Database()
    async with committing(store) as group:
        items = [f"{key}{number}" for number in range(5) for key in "abc"]
        results = await asyncio.gather(*(group.submit(item) for item in items))

    assert results == [item.upper() for item in items]
    assert not store.ever_twice


async def test_data_that_is_refused_costs_no_other_its_commit() -> None:
    """The refused item gets the error; the others are committed without it."""
    async with during_a_commit() as (store, group, first):
        tasks = [asyncio.create_task(group.submit(item)) for item in ("b", "c bad", "d")]
        await asyncio.sleep(0)
        store.open.set()

        ends = await asyncio.gather(first, *tasks, return_exceptions=True)

    assert [ends[0], ends[1], ends[3]] == ["A", "B", "D"]
    assert isinstance(ends[2], asyncpg.DataError)


async def test_a_row_that_is_refused_is_no_outage() -> None:
    """Its item gets the error at once, and the others are committed without it."""
    store = Database()
    store.open.clear()
    watch = DatabaseWatch(never, wait_s=60, clock=Clock())
    async with CommitBatcher(store.commit, itemgetter(0), watch, retry_wait_s=0.001) as group:
        tasks = [asyncio.create_task(group.submit(item)) for item in ("a", "b refused", "c")]
        await eventually(lambda: store.commits)
        store.open.set()

        ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert [ends[0], ends[2]] == ["A", "C"]
    assert isinstance(ends[1], StatementRefusedError)
    assert watch.is_available
    assert not watch.was_unavailable_recently


async def test_a_bug_fails_only_the_waiting_items() -> None:
    """The lanes continue."""
    store = Database()
    async with committing(store, workers=1) as group:
        with pytest.raises(KeyError):
            await group.submit("a bug")

        assert await group.submit("b") == "B"


async def test_an_outage_is_waited_for() -> None:
    """The same items are committed again until the store answers."""
    store = Database()
    store.away = 3
    async with committing(store) as group:
        result = await group.submit("a")

    assert result == "A"
    assert store.commits == [["a"]] * 4


async def test_an_outage_that_lasts_is_reported() -> None:
    """After the wait each item gets DatabaseUnavailableError; later ones are tried again."""
    store, clock = Database(), Clock()
    store.away = 10_000
    async with committing(store, clock=clock) as group:
        tasks = [asyncio.create_task(group.submit(item)) for item in "abc"]
        await eventually(lambda: len(store.commits) > 3)
        clock.now_s += 60

        for task in tasks:
            with pytest.raises(DatabaseUnavailableError):
                await task
        store.away = 0
        assert await group.submit("d") == "D"


async def test_a_cancelled_caller_disturbs_no_other() -> None:
    """An item can be cancelled while it waits for its commit and during it."""
    async with during_a_commit() as (store, group, during):
        before = asyncio.create_task(group.submit("b"))
        stays = asyncio.create_task(group.submit("c"))
        await asyncio.sleep(0)

        during.cancel()
        before.cancel()
        await asyncio.sleep(0)
        store.open.set()

        assert await stays == "C"
        assert during.cancelled()
        assert before.cancelled()
        assert store.commits == [["a"], ["c"]]
        assert await group.submit("a") == "A"


async def test_waiting_callers_are_cancelled_at_the_end() -> None:
    """No caller waits forever for lanes that have ended."""
    async with during_a_commit() as (_, group, during):
        before = asyncio.create_task(group.submit("b"))
        await asyncio.sleep(0)

    done, _ = await asyncio.wait({during, before}, timeout=60)
    assert done == {during, before}
    assert during.cancelled()
    assert before.cancelled()
