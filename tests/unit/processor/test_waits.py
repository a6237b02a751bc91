"""Webhooks that wait in PostgreSQL: when an attempt is not used, and how fast they come back."""

import asyncio
from collections.abc import Sequence
from math import inf, nan

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.envelope import Header
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.retry_schedule import Attempt
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.handlers import Event, Handler, handles
from ringback.outgoing import Unavailable
from ringback.services.processor.attempt.context import AttemptContext, open_attempt
from ringback.services.processor.attempt.policy import Acknowledge, Copy, Reject, SourceQueue
from ringback.services.processor.attempt.result import Wait, wait_for_destination
from ringback.services.processor.log.delivery_log import BeginResult
from ringback.services.processor.waits.pace import FIRST_PER_S, ReleasePace
from ringback.services.processor.waits.wait_rows import wait_columns
from tests.unit.processor.events import ENVELOPE, message, untraced
from tests.unit.processor.fakes import SCHEDULE, FakeLog
from tests.unit.processor.test_attempts import attempts, fail, succeed, verdict


@handles("*")
async def unavailable(_: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    raise Unavailable("crm", 7.5)


@handles("*", retry_schedule="1h,2h")
async def failed_probe(_: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    raise Unavailable("crm", 7.5, TimeoutError("It took too long."))


@handles("*")
async def unavailable_in_a_group(_: Event) -> None:
    async def call(after_s: float) -> None:  # ruff: ignore[unused-async]  # a call is
        raise Unavailable("crm", after_s)

    async with asyncio.TaskGroup() as group:
        group.create_task(call(2))
        group.create_task(call(7.5))


@handles("*", retry_schedule="1h,2h")
async def fail_slowly(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    raise RuntimeError(f"attempt {event.attempt} of {event.max_attempts} failed")


@pytest.mark.parametrize("handler", [unavailable, unavailable_in_a_group])
async def test_an_unavailable_destination_uses_no_attempt(handler: Handler) -> None:
    """No outcome is recorded: the webhook waits for the same attempt, and its message is acked."""
    log = FakeLog()

    decided = await verdict(attempts(log, handler), routing_key="attempt.2")

    assert decided == Acknowledge()
    assert log.held == [(Wait(WaitReason.DESTINATION, 7_500, "crm"), 2)]
    assert not log.finished


@pytest.mark.parametrize(("free_failures", "is_free"), [(0, True), (19, True), (20, False)])
async def test_a_webhook_that_makes_its_destination_fail_ends(
    free_failures: int, *, is_free: bool
) -> None:
    """Its call is the probe again and again. That uses no attempt 20 times, and then it does."""
    log = FakeLog()
    headers = ENVELOPE.headers() | {Header.FREE_FAILURES.value: free_failures}

    await verdict(attempts(log, failed_probe), headers=headers)

    if is_free:
        [(wait, attempt)] = log.held
        context = open_attempt(message(headers=headers), DEFAULT_REDACTION, untraced(), SCHEDULE)
        assert isinstance(context, AttemptContext)
        rows, _ = wait_columns([(context, wait, Attempt(attempt))])
        assert orjson.loads(rows or "")[0]["headers"]["free_failures"] == free_failures + 1
        assert not log.finished
    else:
        [(_, result)] = log.finished
        assert (result.outcome, result.error_class) == (AttemptOutcome.FAILED, "TimeoutError")
        assert str(result.schedule) == "1h,2h"
        assert not log.held


async def test_an_outcome_that_another_processor_recorded_meanwhile_is_repeated() -> None:
    """Otherwise its message would be acknowledged, and nothing would wait."""
    log = FakeLog(recorded_meanwhile=AttemptOutcome.FAILED)

    decided = await verdict(attempts(log, unavailable))

    assert isinstance(decided, Reject)
    assert not log.finished


@pytest.mark.parametrize(
    ("error", "delay_ms"),
    [
        (Unavailable("crm", 0), 1_000),
        (Unavailable("crm", -3), 1_000),
        (Unavailable("crm", nan), 1_000),
        (Unavailable("crm", inf), 86_400_000),
        (Unavailable("crm", 10**400), 86_400_000),
        (Unavailable("crm", -(10**400)), 1_000),
        (Unavailable("crm", 12.3456), 12_346),
    ],
)
def test_a_wait_for_a_destination_has_bounds(error: Unavailable, delay_ms: int) -> None:
    """At once it would only be refused again, and nobody waits for longer than a day."""
    assert wait_for_destination(error) == Wait(WaitReason.DESTINATION, delay_ms, "crm")


def test_other_errors_are_failures() -> None:
    """Also beside an unavailable destination, and errors that only look like one."""

    class Unfinished(Unavailable):
        def __init__(self) -> None:
            """Leave out what the class would set."""

    refused = Unavailable("crm", 3)
    assert wait_for_destination(ValueError()) is None
    assert wait_for_destination(ExceptionGroup("both", [refused, ValueError()])) is None
    assert wait_for_destination(Unfinished()) is None
    named = wait_for_destination(Unavailable("a\0b" + "c" * 500, 3))
    assert named is not None
    assert named.destination is not None
    assert "\0" not in named.destination
    assert len(named.destination) <= 200


async def test_the_handler_that_failed_decides_on_the_schedule() -> None:
    """A long delay is committed with the attempt, and the message is acknowledged."""
    log = FakeLog()

    decided = await verdict(attempts(log, succeed, fail_slowly))

    [(context, result)] = log.finished
    assert decided == Acknowledge()
    assert result.error_message == "attempt 1 of 3 failed"
    assert context.schedule.max_attempts == 3
    assert result.wait is not None
    assert result.wait.reason is WaitReason.RETRY
    assert result.wait.delay_ms is not None
    assert 3_600_000 <= result.wait.delay_ms <= 3_960_000


async def test_another_handler_does_not_decide() -> None:
    log = FakeLog()

    decided = await verdict(attempts(log, fail, fail_slowly))

    [(_, result)] = log.finished
    assert isinstance(decided, Reject)
    assert result.wait is None


@pytest.mark.parametrize(
    ("handlers", "attempt", "expected", "held"),
    [
        ((fail_slowly,), 1, Acknowledge, [2]),
        ((fail_slowly,), 3, Reject, []),
        ((fail,), 1, Reject, []),
    ],
)
async def test_a_repeated_failure_waits_too(
    handlers: Sequence[Handler], attempt: int, expected: type, held: list[int]
) -> None:
    """The process that recorded it may have had another schedule, without a wait."""
    log = FakeLog(begun=BeginResult(AttemptOutcome.FAILED, None))

    decided = await verdict(attempts(log, *handlers), routing_key=f"attempt.{attempt}")

    assert isinstance(decided, expected)
    assert [number for _, number in log.held] == held


async def test_the_last_attempt_of_a_shorter_schedule_is_dead_lettered() -> None:
    """The broker has a retry queue for it, so a rejection would lead to another attempt."""

    @handles("*", retry_schedule="")
    async def fail_once(_: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
        raise RuntimeError

    decided = await verdict(attempts(FakeLog(), fail_once))

    assert isinstance(decided, Copy)
    assert decided.exchange == "webhooks.dead"


async def test_a_first_attempt_that_waited_keeps_its_number() -> None:
    """Its routing key is not that of the attempt, so it is copied, not rejected."""
    made = attempts(FakeLog(), fail)

    decided = await made.run(
        message(routing_key="attempt.requeued", headers={**message().headers, "attempt": 1}),
        SourceQueue.DUE,
        untraced(),
    )

    assert isinstance(decided, Copy)
    assert (decided.exchange, decided.routing_key) == ("webhooks.failed", "attempt.1")


def test_handles_refuses_a_wrong_schedule() -> None:
    with pytest.raises(ValueError, match="soon"):
        handles("hang", retry_schedule="soon")


SECONDS = st.lists(st.floats(0.01, 3), min_size=1, max_size=60)


@given(SECONDS, st.integers(1, 500))
def test_a_destination_that_is_back_is_approached_slowly(steps: list[float], per_s: int) -> None:
    """In no second more than the limit, and no faster than ten at first, twice as many each."""
    pace, now_s, taken = ReleasePace(per_s), 100.0, []
    pace.use(["crm"], now_s, tokens=0)
    for step in steps:
        count = pace.limits(now_s)["crm"]
        pace.use(["crm"] * count, now_s)
        taken.append((now_s, count))
        assert pace.limits(now_s)["crm"] == 0
        now_s += step

    for begin_s, _ in taken:
        in_second = sum(count for at_s, count in taken if begin_s <= at_s < begin_s + 1)
        rate = pace.rate_per_s(begin_s + 1 - 100.0)
        # A token bucket may be full at the beginning of a second.
        assert in_second <= 2 * rate <= 2 * per_s


def test_a_destination_gets_as_many_as_its_breaker_permits() -> None:
    """None while it is open, a few a second while it is half-open; then slowly from the start."""
    permitted: int | None = 0
    pace = ReleasePace(100, lambda _: permitted)
    pace.use(["crm"], 0.0, tokens=0)
    assert [pace.limits(at_s)["crm"] for at_s in (0.5, 1.5, 90.0)] == [0, 0, 0]

    permitted = 2
    assert pace.limits(91.0)["crm"] == 2
    pace.use(["crm", "crm"], 91.0)
    assert [pace.limits(at_s)["crm"] for at_s in (91.0, 91.5)] == [0, 0]
    assert pace.limits(92.0)["crm"] == 2

    permitted = None
    assert pace.limits(92.0)["crm"] <= FIRST_PER_S
    pace.use(["crm"] * 100, 92.0)
    assert pace.limits(92.5)["crm"] == 0


def test_a_destination_that_is_not_used_is_forgotten() -> None:
    """Names of destinations must not add up."""
    pace = ReleasePace(100)
    pace.use(["crm"], 0.0)

    assert list(pace.limits(59.0)) == ["crm"]
    assert not pace.limits(61.0)
