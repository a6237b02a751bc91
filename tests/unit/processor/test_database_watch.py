"""Since when the database is unavailable, and for how long webhooks wait for it."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from services.processor.consume import database_watch as module
from services.processor.consume.database_watch import DatabaseWatch

AWAY = OSError("connection refused")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def answers() -> bool:
    await asyncio.sleep(0)
    return True


def test_it_begins_with_a_database_that_is_there() -> None:
    """Without a report, the database counts as available."""
    watch = DatabaseWatch(answers, hold_s=60, clock=Clock())

    assert not watch.is_away
    assert not watch.was_unavailable_recently
    assert not watch.hold_expired()


def test_webhooks_are_held_from_the_first_failure_on() -> None:
    """Later failures of the same outage do not restart the time; an answer ends it."""
    clock = Clock()
    watch = DatabaseWatch(answers, hold_s=60, clock=clock)

    watch.failed(AWAY)
    clock.now += 59
    watch.failed(AWAY)
    held_at_59 = watch.hold_expired()
    clock.now += 1
    held_at_60 = watch.hold_expired()
    watch.answered()

    assert (held_at_59, held_at_60) == (False, True)
    assert not watch.hold_expired()
    assert not watch.is_away


def test_a_new_outage_is_held_anew() -> None:
    """The time of an earlier outage is not counted."""
    clock = Clock()
    watch = DatabaseWatch(answers, hold_s=60, clock=clock)
    watch.failed(AWAY)
    clock.now += 100
    watch.answered()

    watch.failed(AWAY)

    assert watch.is_away
    assert not watch.hold_expired()


def test_an_outage_is_recent_for_five_minutes_after_its_last_sign() -> None:
    """A message returned meanwhile comes back with a count that it did not cause."""
    clock = Clock()
    watch = DatabaseWatch(answers, hold_s=60, clock=clock)
    watch.failed(AWAY)
    clock.now += 200
    watch.failed(AWAY)
    watch.answered()

    clock.now += 299
    recently = watch.was_unavailable_recently
    clock.now += 1

    assert recently
    assert not watch.was_unavailable_recently


async def test_it_asks_until_the_database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refusal is a sign of the outage; the answer ends it."""
    monkeypatch.setattr(module, "_PING_WAIT_S", 0.001)
    ended = asyncpg.InternalClientError("cannot switch to state 12")
    ends: Iterator[BaseException | None] = iter(
        [AWAY, TimeoutError(), ended, RuntimeError("a bug"), None]
    )
    asked = 0

    async def ping() -> bool:
        nonlocal asked
        await asyncio.sleep(0)
        asked += 1
        if (end := next(ends)) is not None:
            raise end
        return True

    watch = DatabaseWatch(ping, hold_s=60, clock=Clock())
    await watch.until_it_answers()

    assert asked == 5
    assert not watch.is_away
    assert watch.was_unavailable_recently


async def test_a_ping_that_is_not_answered_at_all_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that accepts the question and does not answer is unavailable as well."""
    monkeypatch.setattr(module, "_PING_WAIT_S", 0.001)
    monkeypatch.setattr(module, "_PING_TIMEOUT_S", 0.01)
    asked = 0

    async def ping() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(60)
        return True

    watch = DatabaseWatch(ping, hold_s=60, clock=Clock())
    await watch.until_it_answers()

    assert asked == 2
    assert watch.was_unavailable_recently


def test_what_waiting_does_not_mend_is_named_once() -> None:
    """A missing right is no outage: the line names what is missing and the next step."""
    watch = DatabaseWatch(answers, hold_s=60, clock=Clock())

    with capture_logs() as lines:
        for _ in range(3):
            watch.failed(asyncpg.InsufficientPrivilegeError("permission denied for table calls"))

    assert watch.is_setup_incomplete
    assert watch.is_away
    [line] = lines
    assert line["event"] == "database.setup_incomplete"
    assert line["missing"] == "permission denied for table calls"


def test_another_right_that_is_missing_is_named_as_well() -> None:
    """After the first grant, the log names the second."""
    watch = DatabaseWatch(answers, hold_s=60, clock=Clock())

    with capture_logs() as lines:
        watch.failed(asyncpg.InsufficientPrivilegeError("permission denied for table calls"))
        watch.failed(asyncpg.UndefinedTableError('relation "calls" does not exist'))

    assert [line["missing"] for line in lines] == [
        "permission denied for table calls",
        'relation "calls" does not exist',
    ]


def test_a_lack_that_nobody_met_for_a_while_is_over() -> None:
    """Only the users of the right can find out whether it was granted."""
    clock = Clock()
    watch = DatabaseWatch(answers, hold_s=60, clock=clock)
    watch.failed(asyncpg.UndefinedColumnError('column "x" does not exist'))

    clock.now += 9
    soon = watch.is_setup_incomplete
    clock.now += 1

    assert soon
    assert not watch.is_setup_incomplete


async def test_a_lack_is_over_when_all_that_is_asked_for_is_there() -> None:
    """The ping checks all of it, so its answer is the proof."""
    watch = DatabaseWatch(answers, hold_s=60, clock=Clock())
    watch.failed(asyncpg.UndefinedFunctionError("function begin() does not exist"))

    await watch.until_it_answers()

    assert not watch.is_setup_incomplete
    assert not watch.is_away


def test_a_server_that_is_away_lacks_nothing() -> None:
    """The processor waits for it, and the log asks for no grant."""
    watch = DatabaseWatch(answers, hold_s=60, clock=Clock())

    with capture_logs() as lines:
        watch.failed(AWAY)

    assert not watch.is_setup_incomplete
    assert [line["event"] for line in lines] == ["database.unavailable"]
