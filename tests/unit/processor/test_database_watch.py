"""Since when the database is unavailable, and for how long webhooks wait for it."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from ringback.services.processor.database_watch import DatabaseWatch
from tests.unit.clock import Clock

REFUSED = OSError("connection refused")


async def answer() -> None:
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> DatabaseWatch:
    return DatabaseWatch(answer, wait_s=60, clock=clock)


def test_webhooks_wait_from_the_first_failure_of_an_outage(
    watch: DatabaseWatch, clock: Clock
) -> None:
    """Later failures do not restart the time; an answer ends it; the next outage starts at 0."""
    assert not watch.was_unavailable_recently
    assert not watch.wait_expired()
    watch.failed(REFUSED)
    clock.now_s += 59
    watch.failed(REFUSED)
    expired = [watch.wait_expired()]
    clock.now_s += 1
    expired.append(watch.wait_expired())
    watch.answered()
    expired.append(watch.wait_expired())
    watch.failed(REFUSED)
    expired.append(watch.wait_expired())

    assert expired == [False, True, False, False]


def test_an_outage_is_recent_for_five_minutes_after_its_last_failure(
    watch: DatabaseWatch, clock: Clock
) -> None:
    """A message requeued meanwhile comes back with a count that it did not cause."""
    watch.failed(REFUSED)
    clock.now_s += 200
    watch.failed(REFUSED)
    watch.answered()

    clock.now_s += 299
    recently = watch.was_unavailable_recently
    clock.now_s += 1

    assert recently
    assert not watch.was_unavailable_recently


async def test_it_pings_until_the_database_answers() -> None:
    """Each failure is part of the outage, and so is a ping without an answer."""
    ended = asyncpg.InternalClientError("cannot switch to state 12")
    ends: Iterator[BaseException | float] = iter([REFUSED, ended, RuntimeError("a bug"), 60.0, 0.0])
    pings = 0

    async def ping() -> None:
        nonlocal pings
        pings += 1
        end = next(ends)
        if isinstance(end, BaseException):
            raise end
        await asyncio.sleep(end)

    watch = DatabaseWatch(ping, wait_s=0, ping_wait_s=0.001, ping_timeout_s=0.01)
    await watch.wait_until_available()

    assert pings == 5
    assert not watch.wait_expired()
    assert watch.was_unavailable_recently


def test_what_waiting_does_not_fix_is_named_once(watch: DatabaseWatch) -> None:
    """A missing right or table is no outage: one line names it, another names the next one."""
    watch.failed(REFUSED)
    assert not watch.is_setup_incomplete

    with capture_logs() as lines:
        for _ in range(3):
            watch.failed(asyncpg.InsufficientPrivilegeError("permission denied for table calls"))
        watch.failed(asyncpg.UndefinedTableError('relation "calls" does not exist'))
        watch.failed(asyncpg.ConfigurationLimitExceededError("100 extra days exist"))

    assert watch.is_setup_incomplete
    assert [(line["event"], line["missing"]) for line in lines] == [
        ("database.setup_incomplete", "permission denied for table calls"),
        ("database.setup_incomplete", 'relation "calls" does not exist'),
        ("database.setup_incomplete", "100 extra days exist"),
    ]


async def test_an_incomplete_setup_ends_after_ten_seconds_or_with_a_ping(
    watch: DatabaseWatch, clock: Clock
) -> None:
    """Only users of the right can find out whether it was granted; the ping uses all of them."""
    missing = asyncpg.UndefinedColumnError('column "x" does not exist')
    watch.failed(missing)
    clock.now_s += 9
    soon = watch.is_setup_incomplete
    clock.now_s += 1
    later = watch.is_setup_incomplete
    watch.failed(missing)

    await watch.wait_until_available()

    assert (soon, later, watch.is_setup_incomplete) == (True, False, False)
