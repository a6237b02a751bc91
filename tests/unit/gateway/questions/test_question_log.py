import threading
from collections.abc import Sequence

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ringback.contract.telemetry.questions import QuestionMetric
from ringback.runtime.observability.instruments import Exemplars
from ringback.services.gateway.questions.answers import Answer, Reply
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionLog, Row
from tests.support.eventually import eventually
from tests.unit.gateway.questions.asking import MemoryTable, asked


def answered(call_id: str = "call-1", answer: bytes = b"{}") -> AnsweredQuestion:
    reply = Reply(answer=Answer(200, answer), outcome="answered", was_sent=True)
    return AnsweredQuestion(asked("assistant-request", call_id=call_id).webhook, reply, 0.1)


class Table(MemoryTable):
    """Raises the errors given, one for each write, before it keeps anything."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.made_in: list[int] = []
        self.batch_sizes: list[int] = []
        self.registry = CollectorRegistry()
        self.instruments = QuestionInstruments(self.registry, Exemplars(is_traced=False))

    def row(self, one: AnsweredQuestion) -> Row:
        self.made_in.append(threading.get_ident())
        return super().row(one)

    async def write(self, rows: Sequence[Row]) -> None:
        await super().write([])
        if self.errors:
            raise self.errors.pop(0)
        self.batch_sizes.append(len(rows))
        await super().write(rows)

    def log(self, max_waiting: int = 1_000, flush_timeout_s: float = 60.0) -> QuestionLog:
        return QuestionLog(
            self,
            self.instruments,
            max_waiting=max_waiting,
            flush_timeout_s=flush_timeout_s,
        )

    def counted(self, outcome: str) -> float | None:
        name = QuestionMetric.QUESTION_ROWS.name
        return self.registry.get_sample_value(name, {"outcome": outcome})


async def test_writes_what_was_added_also_at_the_end() -> None:
    table = Table()
    added = [answered(str(number)) for number in range(120)]
    async with table.log().running() as log:
        log.add(added[0])
        await eventually(lambda: table.rows)
        for one in added[1:]:
            log.add(one)

    assert table.rows == added
    assert (table.counted("written"), table.counted("dropped")) == (120, 0)


async def test_waits_for_the_database() -> None:
    table = Table(ConnectionRefusedError(), asyncpg.UndefinedTableError())
    async with table.log().running() as log:
        log.add(answered())

    assert len(table.rows) == 1
    assert table.counted("dropped") == 0


async def test_an_outage_and_its_end_are_logged_once() -> None:
    """However often writing is tried; the next outage has its own lines."""
    table = Table(ConnectionRefusedError(), asyncpg.UndefinedTableError("no table"))
    with capture_logs() as lines:
        for _ in range(2):
            async with table.log().running() as log:
                log.add(answered())
            table.errors = [TimeoutError()]

    said = [(line["event"], line.get("reason")) for line in lines]
    assert said == [
        ("question_rows.stuck", "ConnectionRefusedError"),
        ("question_rows.recovered", None),
        ("question_rows.stuck", "TimeoutError"),
        ("question_rows.recovered", None),
    ]


async def test_redacts_each_question_once_and_not_in_the_event_loop() -> None:
    """Redaction may take half a second; until the database is back, writing is tried often."""
    table = Table(*(ConnectionRefusedError() for _ in range(2)))
    async with table.log().running() as log:
        log.add(answered("1"))
        log.add(answered("2"))

    assert len(table.rows) == len(table.made_in) == 2
    assert threading.get_ident() not in table.made_in


async def test_a_batch_is_bounded_by_its_bytes() -> None:
    table = Table()
    log = table.log()
    for number, size_bytes in enumerate((400_000, 400_000, 400_000, 3_000_000, 1)):
        log.add(answered(str(number), bytes(size_bytes)))
    async with log.running():
        pass

    assert table.batch_sizes == [2, 1, 1, 1]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DataError("too large"),
        asyncpg.CheckViolationError("by an owner"),
        asyncpg.RaiseError("by an owner's trigger"),
        ZeroDivisionError(),
    ],
)
async def test_drops_what_cannot_be_written(error: Exception) -> None:
    table = Table(error)
    async with table.log().running() as log:
        log.add(answered("1"))
        await eventually(lambda: table.counted("dropped") == 1)
        log.add(answered("2"))

    assert [row.webhook.call_id for row in table.rows] == ["2"]


async def test_more_than_fit_are_dropped_and_counted() -> None:
    table = Table()
    log = table.log(max_waiting=2)

    for number in range(5):
        log.add(answered(str(number)))
    log.add(answered("large", bytes(20_000_000)))
    async with log.running():
        pass

    assert len(table.rows) == 2
    assert table.counted("dropped") == 4


async def test_what_cannot_be_written_in_time_is_counted() -> None:
    table = Table(*(ConnectionRefusedError() for _ in range(1_000)))
    async with table.log(flush_timeout_s=0.01).running() as log:
        log.add(answered())

    assert table.counted("dropped") == 1
