"""Each message of the dead-letter queue is recorded, and only then acknowledged."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import orjson
import pytest
from structlog.testing import capture_logs

from ringback.contract.identity import JobId
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.status import AttemptOutcome
from ringback.services.processor.attempt.policy import MAX_DELIVERIES
from ringback.services.processor.database_watch import DatabaseUnavailableError
from ringback.services.processor.log.dead_letter import DeadLetterEntry
from ringback.services.processor.log.dead_letters import (
    DeadLettered,
    DeadLetterLog,
    DeadLetterRecorder,
)
from ringback.services.processor.spans import MessageSpan
from tests.unit.processor.events import ENVELOPE, JOB
from tests.unit.processor.fakes import SPANS, Broker, FakeConsumers, instruments, settler

DLQ = ":webhooks.dlq"
OTHER_JOB = JobId(JOB)


class FakeLog:
    """Records entries; each of `errors` fails one call."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.entries: list[DeadLetterEntry] = []
        self.fingerprints: list[str] = []

    async def record(self, entry: DeadLetterEntry, _: MessageSpan) -> DeadLettered | None:
        if self.errors:
            raise self.errors.pop(0)
        self.entries.append(entry)
        return DeadLettered(3, "RuntimeError", "attempt 3 failed", AttemptOutcome.FAILED)

    async def assign_job_id(self, fingerprint: str, _: MessageSpan) -> JobId:
        if self.errors:
            raise self.errors.pop(0)
        self.fingerprints.append(fingerprint)
        return OTHER_JOB


async def recorded(
    log: FakeLog, *, answer_errors: Sequence[BaseException] = (), **changes: Any
) -> tuple[Broker, FakeConsumers]:
    broker, consumers = Broker(answer_errors=list(answer_errors)), FakeConsumers()
    recorder = DeadLetterRecorder(
        settler(broker),
        SPANS,
        instruments(),
        dead_letter_log=cast("DeadLetterLog", log),
        redaction=DEFAULT_REDACTION,
        max_attempts=3,
        first_wait_s=0.001,
    )
    await recorder.handle(broker.incoming(**changes), consumers)
    return broker, consumers


async def test_a_webhook_is_recorded_under_its_id_and_reported() -> None:
    log = FakeLog()

    with capture_logs() as lines:
        broker, _ = await recorded(log, routing_key="attempt.3")

    [entry] = log.entries
    assert (entry.row.id, entry.attempt, broker.answers) == (JOB, 3, ["ack"])
    [line] = lines
    assert (line["event"], line["job_id"]) == ("dead_letter.recorded", str(JOB))
    assert (line["attempts"], line["error_message"]) == ("3/3", "attempt 3 failed")


async def test_a_recorded_dead_letter_whose_answer_is_cancelled_is_left_to_the_broker() -> None:
    """The library cancels what is being sent when its connection is closed."""
    log = FakeLog()

    with capture_logs() as lines:
        broker, _ = await recorded(log, answer_errors=[asyncio.CancelledError()])

    assert [line["event"] for line in lines] == ["dead_letter.recorded", "message.not_settled"]
    assert (broker.copies, broker.answers, len(log.entries)) == ([], [], 1)


async def test_a_message_without_an_id_gets_one_by_its_content() -> None:
    """The same message is recorded once, however often it comes."""
    log = FakeLog()

    for _ in range(2):
        await recorded(log, message_id=None, body=b"rubbish")

    assert [entry.row.id for entry in log.entries] == [OTHER_JOB] * 2
    assert len(set(log.fingerprints)) == 1


async def test_a_payload_that_the_store_refuses_is_recorded_as_base64() -> None:
    """No content of a body keeps its webhook out of the log."""
    log = FakeLog(asyncpg.DataError("refused"))

    broker, _ = await recorded(log)

    [entry] = log.entries
    assert list(orjson.loads(entry.row.event_data)) == ["unreadable_base64"]
    assert broker.answers == ["ack"]


@pytest.mark.parametrize("changes", [{}, {"message_id": None}])
async def test_a_dead_letter_waits_for_the_database(changes: dict[str, Any]) -> None:
    """It is requeued, and consuming stops until the database answers."""
    broker, consumers = await recorded(FakeLog(DatabaseUnavailableError()), **changes)

    assert (broker.copies, broker.answers, consumers.outages) == ([], ["requeue"], 1)


async def test_a_dead_letter_that_cannot_be_recorded_goes_behind_the_others() -> None:
    """It keeps a count, and the reason that only the broker's headers contain."""
    deaths = [{"queue": "webhooks.quarantine", "reason": "delivery_limit", "count": 1}]
    headers = ENVELOPE.headers() | {"requeues": 2, "x-death": deaths}

    broker, consumers = await recorded(FakeLog(KeyError("bug")), headers=headers)

    [(place, copied)] = broker.copies
    assert (place, broker.answers, consumers.outages) == (DLQ, ["ack"], 0)
    assert (copied["requeues"], copied["error_class"]) == (3, "process_crash")


async def test_a_worn_dead_letter_is_replaced_before_the_broker_drops_it() -> None:
    """RabbitMQ 4 drops a message after 20 deliveries by default."""
    log = FakeLog()

    broker, _ = await recorded(
        log, headers=ENVELOPE.headers() | {"x-delivery-count": MAX_DELIVERIES}
    )

    assert [place for place, _ in broker.copies] == [DLQ]
    assert not log.entries
