"""One attempt: what runs, and what is recorded of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ringback.contract.identity import new_job_id
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.handlers import Event, Handler, PermanentFailure, handles
from ringback.runtime.endpoints.forwards import ForwardTable
from ringback.services.processor.attempt.attempt import Attempts, KeyedLock
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.attempt.handlers import HandlerSet
from ringback.services.processor.attempt.policy import (
    Acknowledge,
    Copy,
    Reject,
    SourceQueue,
    Verdict,
)
from ringback.services.processor.attempt.result import AttemptResult, CallUpdate, Wait
from ringback.services.processor.attempt.transaction import ServerRefusesError, TransactionLostError
from ringback.services.processor.builtin.forward import Forwards
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.log.delivery_log import BeginResult, RecordedAttempt
from ringback.services.processor.log.turns import Turns
from tests.support.eventually import eventually
from tests.unit.processor.events import JOB, message, untraced
from tests.unit.processor.fakes import SCHEDULE, FakeLog, FakeTurns, instruments

CALLED = b'{"message":{"type":"hang","call":{"id":"call-1"}}}'
OTHER = UUID(int=7)
OTHER_JOB = new_job_id()
REPORT = b'{"message":{"type":"end-of-call-report","call":{"id":"c"}}}'


@handles("*")
async def succeed(_: Event) -> None:
    """Do nothing."""


@handles("*")
async def fail(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    raise RuntimeError(f"attempt {event.attempt} of {event.max_attempts} failed")


@handles("*", retry_schedule="")
async def succeed_or_end(_: Event) -> None:
    """Do nothing; a failure would be the last."""


@handles("*")
async def refuse(_: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    raise PermanentFailure("no such account")


@handles("*", transaction=True)
async def write(_: Event, __: object) -> None:
    """Do nothing."""


class RefusingPool:
    """A database that refuses a connection."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def acquire(self) -> None:
        raise self.error


async def unanswered() -> None:  # ruff: ignore[unused-async]  # as a ping is
    raise ConnectionRefusedError


async def answered() -> None:
    """The database is available."""


def call_update_of(event: Event) -> CallUpdate:
    return {"call_id": event.call_id}


def attempts(
    log: FakeLog,
    *handlers: Handler,
    watch: DatabaseWatch | None = None,
    registry: Any = None,
    slots: HandlerSlots | None = None,
    forwards: Forwards | None = None,
    parked: Wait | None = None,
) -> Attempts:
    return Attempts(
        handlers=HandlerSet(handlers, call_update_of),
        forwards=forwards or Forwards(ForwardTable(), DEFAULT_REDACTION),
        delivery_log=log.as_log(),
        turns=cast("Turns", FakeTurns(log, parked)),
        watch=watch or DatabaseWatch(answered, wait_s=60),
        schedule=SCHEDULE,
        redaction=DEFAULT_REDACTION,
        timeout_s=60,
        slots=slots or HandlerSlots(5),
        instruments=instruments(registry),
    )


async def verdict(made: Attempts, **changes: Any) -> Verdict:
    return await made.run(message(**changes), SourceQueue.WORK, untraced())


@pytest.mark.parametrize(
    ("handlers", "outcome", "expected", "error_class"),
    [
        ((), AttemptOutcome.COMPLETED, Acknowledge, None),
        ((succeed,), AttemptOutcome.COMPLETED, Acknowledge, None),
        ((succeed, fail), AttemptOutcome.FAILED, Reject, "RuntimeError"),
        ((refuse,), AttemptOutcome.PERMANENT, Copy, "PermanentFailure"),
    ],
)
async def test_the_outcome_of_the_handlers_is_recorded_and_decides(
    handlers: Sequence[Handler],
    outcome: AttemptOutcome,
    expected: type[Verdict],
    error_class: str | None,
) -> None:
    """The call is updated with the outcome; a failed attempt changes nothing of it."""
    log = FakeLog()

    with capture_logs() as lines:
        decided = await verdict(attempts(log, *handlers))

    [(context, result)] = log.finished
    assert isinstance(decided, expected)
    assert result.outcome is outcome
    assert (result.call_update is not None) == (outcome is AttemptOutcome.COMPLETED)
    assert context.ended_at is not None
    assert context.ended_at >= context.started_at
    [line] = [line for line in lines if line["event"] == "attempt.finished"]
    assert line["error_class"] == error_class


async def test_the_partition_and_the_claim_come_before_a_handler() -> None:
    """A handler that acts outside the database runs once: its claim is committed first."""
    log = FakeLog()

    @handles("*")
    async def note(_: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
        log.calls.append("handler")

    await verdict(attempts(log, note))

    assert log.calls == [f"partition {JOB}", "begin", "handler", "finish"]


async def test_a_slot_covers_the_handlers_and_not_the_commit() -> None:
    """With one slot, the next handler runs while the outcome of the one before is committed."""
    log, committed = FakeLog(), asyncio.Event()
    ran: list[str] = []

    @handles("*")
    async def note(event: Event) -> None:
        ran.append(str(event.job_id))
        if len(ran) == 1:
            await asyncio.sleep(0)
            assert len(ran) == 1

    class SlowLog(FakeLog):
        async def finish(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
            await committed.wait()
            return await log.finish(context, result)

    made = attempts(SlowLog(), note, slots=HandlerSlots(1))
    both = [
        asyncio.create_task(verdict(made, message_id=str(job_id))) for job_id in (JOB, OTHER_JOB)
    ]
    await eventually(lambda: len(ran) == 2)
    assert not log.finished
    committed.set()

    assert await asyncio.gather(*both) == [Acknowledge(), Acknowledge()]


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (AttemptOutcome.COMPLETED, Acknowledge),
        (AttemptOutcome.DUPLICATE, Acknowledge),
        (AttemptOutcome.FAILED, Reject),
        (AttemptOutcome.PERMANENT, Copy),
    ],
)
async def test_a_recorded_outcome_is_repeated_and_nothing_runs(
    recorded: AttemptOutcome, expected: type[Verdict]
) -> None:
    """A redelivery is not an attempt."""
    log, registry = FakeLog(begun=BeginResult(recorded, None)), CollectorRegistry()

    decided = await verdict(attempts(log, fail, registry=registry))

    assert isinstance(decided, expected)
    assert not log.finished
    assert registry.get_sample_value("webhook_repeated_total") == 1


async def test_a_repeated_failure_does_not_end_the_retries_of_another_handler() -> None:
    """The log does not know which of them failed."""
    log = FakeLog(begun=BeginResult(AttemptOutcome.FAILED, None))

    assert isinstance(await verdict(attempts(log, succeed_or_end, fail)), Reject)


@pytest.mark.parametrize(
    ("body", "event_type", "update"),
    [
        (b'{"message":{"type":"hang"}}', "hang", None),
        (REPORT, "end-of-call-report", {"call_id": "c"}),
    ],
)
async def test_a_duplicate_runs_no_handler(
    body: bytes, event_type: str, update: CallUpdate | None
) -> None:
    """A second report of a call may contain more, so it keeps its update."""
    log = FakeLog(begun=BeginResult(None, OTHER))

    decided = await verdict(attempts(log, fail), body=body, type=event_type)

    [(_, result)] = log.finished
    assert isinstance(decided, Acknowledge)
    assert (result.outcome, result.call_update) == (AttemptOutcome.DUPLICATE, update)


async def test_values_that_cannot_be_stored_fail_the_attempt() -> None:
    log = FakeLog(errors=[asyncpg.DataError("bad")])

    decided = await verdict(attempts(log))

    [(_, result)] = log.finished
    assert isinstance(decided, Reject)
    assert (result.error_class, result.call_update) == ("DataError", None)


async def test_an_error_that_quotes_a_secret_is_recorded_without_it() -> None:
    """The handler saw the original event."""
    body = b'{"message":{"type":"hang","server":{"secret":"canary-1234"}}}'
    log = FakeLog()

    @handles("*")
    async def quote(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
        raise ValueError(event.message["server"]["secret"])

    await verdict(attempts(log, quote), body=body)

    [(_, result)] = log.finished
    assert result.error_message
    assert "canary" not in result.error_message


@pytest.mark.parametrize(
    ("ping", "error", "raised"),
    [
        (unanswered, OSError("refused"), DatabaseUnavailableError),
        (answered, OSError("refused"), ServerRefusesError),
        (answered, asyncpg.ForeignKeyViolationError("data"), TransactionLostError),
    ],
)
async def test_an_outage_in_a_transaction_is_not_an_attempt(
    ping: Any, error: BaseException, raised: type[BaseException]
) -> None:
    """Only a second connection can distinguish an outage from the end of one connection."""
    log = FakeLog()
    log.pool = cast("asyncpg.Pool", RefusingPool(error))
    made = attempts(log, write, watch=DatabaseWatch(ping, wait_s=60))

    with pytest.raises(raised) as caught:
        await verdict(made)

    assert caught.type is raised
    assert not log.finished


async def test_a_message_without_an_event_is_dead_lettered_with_the_reason() -> None:
    log = FakeLog()

    decided = await verdict(attempts(log, succeed), body=b"[]")

    assert isinstance(decided, Copy)
    assert decided.headers["error_message"] == "The body is not a JSON object."
    assert not log.calls


@handles("hang", ordered_by="call_id")
async def follow(_: Event) -> None:
    """Do nothing."""


async def test_an_ordered_webhook_takes_its_turn_before_its_handlers() -> None:
    """One without a call, or with handlers that are not ordered, takes none."""
    ordered, callless, other = FakeLog(), FakeLog(), FakeLog()

    await verdict(attempts(ordered, follow), body=CALLED)
    await verdict(attempts(callless, follow))
    await verdict(attempts(other, succeed), body=CALLED)

    turn = "turn of call-1"
    assert ordered.calls == [f"partition {JOB}", turn, "begin", "finish"]
    assert [context.order_key for context, _ in ordered.finished] == ["call-1"]
    assert callless.calls == other.calls == [f"partition {JOB}", "begin", "finish"]


async def test_a_parked_webhook_is_acknowledged_without_an_attempt() -> None:
    log = FakeLog()

    decided = await verdict(
        attempts(log, follow, parked=Wait(WaitReason.ORDER, None, order_key="call-1")), body=CALLED
    )

    assert decided == Acknowledge()
    assert log.calls == [f"partition {JOB}", "turn of call-1"]


async def test_a_redelivery_waits_for_the_attempt_in_flight() -> None:
    """After a lost connection the same webhook may come twice."""
    log, release = FakeLog(), asyncio.Event()
    running = 0

    @handles("*")
    async def wait(_: Event) -> None:
        nonlocal running
        running += 1
        await release.wait()

    made = attempts(log, wait)
    first = asyncio.create_task(verdict(made))
    await eventually(lambda: running)
    second = asyncio.create_task(verdict(made))
    for _ in range(5):
        await asyncio.sleep(0)
    log.begun = BeginResult(AttemptOutcome.COMPLETED, None)
    release.set()

    assert [await first, await second] == [Acknowledge(), Acknowledge()]
    assert running == 1


async def test_a_keyed_lock_admits_one_at_a_time() -> None:
    """This also works if one is cancelled while it waits, or fails while it has the lock."""
    lock = KeyedLock()
    inside: list[str] = []
    most = 0

    async def enter(name: str) -> None:
        nonlocal most
        async with lock.acquire("key"):
            inside.append(name)
            most = max(most, len(inside))
            await asyncio.sleep(0.01)
            inside.remove(name)
            if name == "b":
                raise ValueError(name)

    tasks = [asyncio.create_task(enter(name)) for name in "abcd"]
    await asyncio.sleep(0)
    tasks[2].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    async with lock.acquire("key"), asyncio.timeout(60), lock.acquire("other"):
        pass

    assert most == 1
    assert [type(end) for end in ends] == [
        type(None),
        ValueError,
        asyncio.CancelledError,
        type(None),
    ]
