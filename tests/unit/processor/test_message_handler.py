"""How a message is settled: by its verdict, and if there is none, by a counted requeue."""

import asyncio
from typing import Any, cast

import pytest
from aio_pika.exceptions import ChannelInvalidStateError
from structlog.testing import capture_logs

from ringback.contract.retry_schedule import FIRST_ATTEMPT
from ringback.contract.status import AttemptOutcome
from ringback.services.processor.attempt.attempt import Attempts
from ringback.services.processor.attempt.handler_slots import NotBegunError, ShareExceededError
from ringback.services.processor.attempt.policy import (
    MAX_DELIVERIES,
    MAX_REQUEUES,
    Acknowledge,
    Requeue,
    SourceQueue,
    Verdict,
    dead_letter,
    decide,
)
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.attempt.transaction import ServerRefusesError, TransactionLostError
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.consume.message_handler import (
    AttemptHandler,
    MessageHandler,
    QuarantineHandler,
)
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.spans import MessageSpan
from tests.unit.processor.events import ENVELOPE, untraced
from tests.unit.processor.fakes import SCHEDULE, SPANS, Broker, FakeConsumers, instruments, settler

RETRY = "webhooks.failed:attempt.1"
WORK, QUARANTINE, REQUEUED = ":webhooks.work", ":webhooks.quarantine", ":webhooks.requeued"
DUE, BULK = ":webhooks.due", ":webhooks.bulk"
DEAD = "webhooks.dead:attempt.1"


class FakeAttempts:
    """Ends each attempt as configured, and records whether it ran exclusively."""

    def __init__(self, end: AttemptOutcome | BaseException) -> None:
        self.end = end
        self.consumers = FakeConsumers()
        self.ran: list[bool] = []

    async def run(self, message: Message, source: SourceQueue, _: MessageSpan) -> Verdict:
        self.ran.append(self.consumers.exclusive_now)
        if isinstance(self.end, BaseException):
            raise self.end
        attempt = attempt_due(message)
        step = decide(self.end, source=source, attempt=attempt, schedule=SCHEDULE, bound=SCHEDULE)
        assert not isinstance(step, Wait)
        return step


def headers(counts: dict[str, int]) -> dict[str, Any]:
    named = {name.replace("deliveries", "x-delivery-count"): n for name, n in counts.items()}
    return ENVELOPE.headers() | named


async def answer() -> None:
    """The database is available."""


def handler_of(
    source: SourceQueue, broker: Broker, fake: FakeAttempts, *, watch: DatabaseWatch | None = None
) -> MessageHandler:
    attempts = cast("Attempts", fake)
    if source is SourceQueue.QUARANTINE:
        return QuarantineHandler(settler(broker), SPANS, instruments(), attempts=attempts)
    return AttemptHandler(
        *(source, settler(broker), SPANS, instruments()),
        attempts=attempts,
        watch=watch or DatabaseWatch(answer, wait_s=60),
        error_wait_s=0.001,
    )


async def handled(
    source: SourceQueue,
    end: AttemptOutcome | BaseException,
    broker: Broker | None = None,
    *,
    consumers: FakeConsumers | None = None,
    watch: DatabaseWatch | None = None,
    counts: dict[str, int] | None = None,
) -> tuple[Broker, FakeAttempts]:
    broker, fake = broker or Broker(), FakeAttempts(end)
    fake.consumers = consumers or fake.consumers
    handler = handler_of(source, broker, fake, watch=watch)
    incoming = broker.incoming(headers=headers(counts or {}))
    await handler.handle(incoming, fake.consumers)
    return broker, fake


COMPLETED, FAILED = AttemptOutcome.COMPLETED, AttemptOutcome.FAILED
LOST, BUG = TransactionLostError("lost"), KeyError("bug")


@pytest.mark.parametrize(
    ("source", "end", "counts", "copies", "answers"),
    [
        # The outcome of an attempt.
        (SourceQueue.WORK, COMPLETED, {}, [], ["ack"]),
        (SourceQueue.WORK, FAILED, {}, [], ["reject"]),
        (SourceQueue.WORK, AttemptOutcome.PERMANENT, {}, [DEAD], ["ack"]),
        (SourceQueue.QUARANTINE, COMPLETED, {}, [], ["ack"]),
        (SourceQueue.QUARANTINE, FAILED, {}, [RETRY], ["ack"]),
        # Messages that were delivered before without an answer.
        (SourceQueue.WORK, COMPLETED, {"deliveries": 2}, [], ["ack"]),
        (SourceQueue.WORK, COMPLETED, {"deliveries": 3}, [QUARANTINE], ["ack"]),
        (SourceQueue.QUARANTINE, COMPLETED, {"deliveries": 1}, [QUARANTINE], ["ack"]),
        (SourceQueue.QUARANTINE, COMPLETED, {"crashes": 2}, [], ["ack"]),
        (SourceQueue.QUARANTINE, COMPLETED, {"crashes": 2, "deliveries": 1}, [DEAD], ["ack"]),
        # An outage or a pause costs nothing: a message that the broker would quarantine at its next
        # return, because it counts each requeue, is replaced by a copy.
        *(
            (source, end, {"deliveries": before}, copies, answers)
            for end in (NotBegunError(), DatabaseUnavailableError())
            for source, before, copies, answers in (
                (SourceQueue.WORK, 0, [], ["requeue"]),
                (SourceQueue.WORK, 1, [], ["requeue"]),
                (SourceQueue.WORK, 2, [WORK], ["ack"]),
                (SourceQueue.BULK, 2, [BULK], ["ack"]),
                (SourceQueue.DUE, 2, [DUE], ["ack"]),
                (SourceQueue.QUARANTINE, 0, [QUARANTINE], ["ack"]),
            )
        ),
        # The org has its share of the slots.
        (SourceQueue.WORK, ShareExceededError(hangs=False), {}, [REQUEUED], ["ack"]),
        (SourceQueue.DUE, ShareExceededError(hangs=False), {"parks": 2}, [REQUEUED], ["ack"]),
        (SourceQueue.DUE, ShareExceededError(hangs=False), {"parks": 3}, [BULK], ["ack"]),
        (SourceQueue.WORK, ShareExceededError(hangs=True), {}, [BULK], ["ack"]),
        # No attempt could be made although the database is available.
        (SourceQueue.WORK, LOST, {}, [REQUEUED], ["ack"]),
        (SourceQueue.WORK, BUG, {}, [REQUEUED], ["ack"]),
        (SourceQueue.WORK, LOST, {"requeues": MAX_REQUEUES}, [QUARANTINE], ["ack"]),
        (SourceQueue.QUARANTINE, LOST, {"requeues": MAX_REQUEUES + 1}, [DEAD], ["ack"]),
        (SourceQueue.WORK, ServerRefusesError(), {"requeues": 99}, [REQUEUED], ["ack"]),
        (SourceQueue.QUARANTINE, ServerRefusesError(), {"requeues": 99}, [REQUEUED], ["ack"]),
    ],
)
async def test_a_message_is_settled_once(
    source: SourceQueue,
    end: AttemptOutcome | BaseException,
    counts: dict[str, int],
    copies: list[str],
    answers: list[str],
) -> None:
    """A quarantined message is attempted exclusively: a crash then affects no other webhook."""
    broker, attempts = await handled(source, end, counts=counts)

    assert ([place for place, _ in broker.copies], broker.answers) == (copies, answers)
    assert set(attempts.ran) <= {source is SourceQueue.QUARANTINE}
    assert not attempts.consumers.exclusive_now
    assert attempts.consumers.outages == isinstance(end, DatabaseUnavailableError)


async def test_a_worn_message_is_replaced_by_a_copy_after_an_outage() -> None:
    """We requeued it, so it is not quarantined; the broker counts from 0."""
    watch = DatabaseWatch(answer, wait_s=60)
    watch.failed(OSError())

    broker, attempts = await handled(
        SourceQueue.WORK, COMPLETED, watch=watch, counts={"deliveries": MAX_DELIVERIES}
    )

    assert [place for place, _ in broker.copies] == [WORK]
    assert not attempts.ran


async def test_a_quarantined_copy_carries_the_crashes_that_the_broker_counted() -> None:
    """So the limit of its queue, which would dead-letter it without a reason, is never reached."""
    broker, _ = await handled(
        SourceQueue.QUARANTINE, COMPLETED, counts={"crashes": 1, "deliveries": 1}
    )

    [(_, copied)] = broker.copies
    assert (copied["attempt"], copied["crashes"]) == (1, 2)
    assert "x-delivery-count" not in copied


async def test_a_dead_letter_carries_the_error_that_prevented_its_attempt() -> None:
    """The log has no attempt with the reason."""
    broker, _ = await handled(SourceQueue.QUARANTINE, LOST, counts={"requeues": MAX_REQUEUES + 1})

    [(_, copied)] = broker.copies
    assert (copied["error_class"], copied["error_message"]) == ("TransactionLostError", "lost")


async def test_if_even_the_copy_fails_the_broker_requeues_and_counts() -> None:
    """A bug in publishing must not lose the message."""
    broker = Broker(publish_errors=[KeyError("bug")])

    await handled(SourceQueue.WORK, BUG, broker)

    assert (broker.copies, broker.answers) == ([], ["requeue"])


async def test_publishing_is_repeated_until_the_broker_confirms() -> None:
    """The copy has the webhook's own headers, and its attempt."""
    broker = Broker(publish_errors=[TimeoutError(), ConnectionError()])

    await handled(SourceQueue.WORK, AttemptOutcome.PERMANENT, broker)

    [message] = broker.published
    assert message.message_id == str(ENVELOPE.job_id)
    assert message.headers == ENVELOPE.headers() | {"attempt": 1}
    assert broker.answers == ["ack"]


@pytest.mark.parametrize("source", SourceQueue)
async def test_an_answer_that_the_library_cancels_is_not_taken_for_a_bug(
    source: SourceQueue,
) -> None:
    """It cancels what is being sent when its connection is closed. The outcome is recorded."""
    broker = Broker(answer_errors=[asyncio.CancelledError()])

    with capture_logs() as lines:
        await handled(source, COMPLETED, broker)

    assert [line["event"] for line in lines] == ["message.not_settled"]
    assert (broker.copies, broker.answers) == ([], [])


@pytest.mark.parametrize("verdict", [Acknowledge(), Requeue(), dead_letter(FIRST_ATTEMPT)])
async def test_a_closed_channel_leaves_the_message_to_the_broker(verdict: Verdict) -> None:
    """The broker delivers it again, and the log repeats its outcome."""
    broker = Broker(channel_is_closed=True, answer_errors=[ChannelInvalidStateError()])

    await settler(broker).settle(broker.incoming(), verdict, untraced())

    assert (broker.copies, broker.answers) == ([], [])


@pytest.mark.parametrize(
    ("source", "stopping", "copies"),
    [
        (SourceQueue.WORK, True, []),
        (SourceQueue.QUARANTINE, True, [QUARANTINE]),
        # A handler cancelled every task that it found: that counts as a crash.
        (SourceQueue.QUARANTINE, False, []),
    ],
)
async def test_our_own_stop_is_not_counted_as_a_crash(
    source: SourceQueue, *, stopping: bool, copies: list[str]
) -> None:
    """A message whose attempt is cancelled stays unanswered, or is replaced by a copy."""
    broker, started = Broker(), asyncio.Event()
    consumers = FakeConsumers(stopping=stopping)

    class Endless(FakeAttempts):
        async def run(self, *_: object) -> Verdict:
            started.set()
            await asyncio.sleep(60)
            raise AssertionError

    handler = handler_of(source, broker, Endless(COMPLETED))
    task = asyncio.create_task(handler.handle(broker.incoming(), consumers))
    await started.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [place for place, _ in broker.copies] == copies
    assert broker.answers == ["ack"] * len(copies)


async def test_a_stop_during_an_outage_is_not_counted_as_a_crash() -> None:
    """Pausing the consumers takes a while if the broker does not answer either."""
    broker, started = Broker(), asyncio.Event()

    class SlowConsumers(FakeConsumers):
        async def database_unavailable(self) -> None:
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(
        handled(
            SourceQueue.QUARANTINE,
            DatabaseUnavailableError(),
            broker,
            consumers=SlowConsumers(stopping=True),
        )
    )
    await started.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ([place for place, _ in broker.copies], broker.answers) == ([QUARANTINE], ["ack"])
