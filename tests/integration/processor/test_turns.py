"""The functions of 0011_order.sql do what the model does, in any order of events and at once."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.contract.identity import new_job_id
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.runtime.postgres.queries import load
from tests.support.loop_thread import LoopThread
from tests.support.session_nodes import SessionNodes
from tests.support.webhook_turns import MAX_ATTEMPTS, Begin, Message, ModelTurns, World

_LOG = "ringback.services.processor.log"
_WAITS = "ringback.services.processor.waits"
_ORDER_KEY = "call-1"
_TYPE = "test.ordered"
_MANY = 1000
_GAP = timedelta(minutes=10)

T = TypeVar("T")


@dataclass
class SqlTurns:
    """The functions of the log, called as the processor calls them, for the key of one org."""

    pool: asyncpg.Pool
    org_id: UUID = field(default_factory=uuid4)
    first_id: int = field(default_factory=lambda: new_job_id().int & ~0xFF)

    async def write_row(self, webhook: int) -> None:
        id_, now = self._id(webhook), datetime.now(UTC)
        columns = [id_, self.org_id, "default", _TYPE, now, _ORDER_KEY, None, 3]
        sql = load("ringback.services.gateway.log", "insert_pending_rows.sql")
        await self.pool.execute(sql, *([value] for value in columns), uuid4(), None)

    async def begin(self, message: Message) -> Begin | AttemptOutcome:
        ids, attempts = [self._id(message.webhook)], [message.attempt]
        turn = (ids, attempts, [self.org_id], [_ORDER_KEY], [_TYPE])
        if await self.pool.fetch(load(_LOG, "take_turns.sql"), *turn):
            parked = await self.pool.fetchval(
                load(_LOG, "park_webhooks.sql"),
                ids,
                attempts,
                *self._columns(),
                orjson.dumps([self._wait(message)]).decode(),
                [b"{}"],
                [_ORDER_KEY],
                [_TYPE],
            )
            if parked:
                return Begin.PARKED
        [row] = await self.pool.fetch(
            load(_LOG, "begin_attempts.sql"), ids, attempts, *self._columns()
        )
        recorded = row["recorded_outcome"]
        return Begin.RUN if recorded is None else AttemptOutcome(recorded)

    async def finish(
        self, message: Message, outcome: AttemptOutcome
    ) -> tuple[AttemptOutcome, bool]:
        now, ids = datetime.now(UTC), [self._id(message.webhook)]
        ended = [[outcome.value], [now], [now], [None], [None], ["t" * 32], ["s" * 16], [], None]
        [row] = await self.pool.fetch(
            load(_LOG, "finish_attempts.sql"),
            ids,
            [message.attempt],
            *ended,
            *self._columns(),
            *(None, None, [None], None, None, ids, None),
        )
        return AttemptOutcome(row["final_outcome"]), row["is_fresh"]

    async def dead_letter(self, message: Message) -> None:
        await self.pool.fetch(
            load(_LOG, "record_dead_letters.sql"),
            [self._id(message.webhook)],
            [message.attempt],
            [None],
            [None],
            *self._columns(),
            [None],
        )

    async def lease(self) -> list[asyncpg.Record]:
        limits = (_MANY, _MANY, timedelta(seconds=30), 1_000_000)
        return await self.pool.fetch(load(_WAITS, "lease_waits.sql"), [], [], *limits)

    async def delete(self, row: asyncpg.Record) -> None:
        await self.pool.execute(
            load(_WAITS, "end_leases.sql"), [row["delivery_id"]], [], row["leased_until"]
        )

    async def pass_on(self) -> int | None:
        """As if no processor had seen the webhook with the turn for a long time."""
        idle = await self.pool.execute(
            "UPDATE webhook_turns AS turn "
            "SET idle = $1, checked_at = checked_at - interval '1 hour' "
            "WHERE EXISTS (SELECT FROM webhook_waits AS wait WHERE wait.reason = 'order'"
            " AND (wait.org_id, wait.order_key) = (turn.org_id, turn.order_key))",
            _GAP,
        )
        if idle == "UPDATE 0":
            return None
        row = await self.pool.fetchrow(load(_LOG, "check_turns.sql"), _GAP, _MANY)
        await self.pool.execute("UPDATE webhook_turns SET idle = '0'")
        assert row is not None
        return row["passed"][0].int - self.first_id if row["passed"] else None

    async def holder(self) -> int | None:
        found = await self.pool.fetchval("SELECT delivery_id FROM webhook_turns")
        return None if found is None else found.int - self.first_id

    async def left(self) -> int:
        count = await self.pool.fetchval(
            "SELECT (SELECT count(*) FROM webhook_turns) + (SELECT count(*) FROM webhook_waits)"
        )
        return int(count)

    def message_of(self, row: asyncpg.Record) -> Message:
        return Message(row["delivery_id"].int - self.first_id, row["attempt"])

    def _id(self, webhook: int) -> UUID:
        return UUID(int=self.first_id + webhook)

    def _columns(self) -> list[list[object]]:
        event = ["default", _TYPE, "{}", False, 3, _ORDER_KEY, None, uuid4(), None]
        return [[value] for value in (self.org_id, *event)]

    def _wait(self, message: Message) -> dict[str, object]:
        return {
            "delivery_id": self._id(message.webhook),
            "attempt": message.attempt,
            "org_id": self.org_id,
            "event_type": _TYPE,
            "reason": WaitReason.ORDER,
            "order_key": _ORDER_KEY,
            "headers": {},
        }


class Compared:
    """Asks the model and PostgreSQL, and compares their answers."""

    def __init__(self, loop: LoopThread, real: SqlTurns) -> None:
        self._loop = loop
        self._real = real
        self._model = ModelTurns()
        self._leased: list[asyncpg.Record] = []

    def write_row(self, webhook: int) -> None:
        self._model.write_row(webhook)
        self._loop.run(self._real.write_row(webhook))

    def begin(self, message: Message) -> Begin | AttemptOutcome:
        return self._same(self._model.begin(message), self._real.begin(message))

    def finish(self, message: Message, outcome: AttemptOutcome) -> tuple[AttemptOutcome, bool]:
        expected = self._model.finish(message, outcome)
        return self._same(expected, self._real.finish(message, outcome))

    def dead_letter(self, message: Message) -> None:
        self._model.dead_letter(message)
        self._loop.run(self._real.dead_letter(message))

    def lease(self) -> list[Message]:
        expected, rows = self._model.lease(), self._loop.run(self._real.lease())
        self._leased += rows
        assert sorted(map(self._real.message_of, rows)) == expected
        return expected

    def delete_leased(self) -> None:
        self._model.delete_leased()
        while self._leased:
            self._loop.run(self._real.delete(self._leased.pop()))

    def expire_leases(self) -> None:
        self._model.expire_leases()
        self._loop.run(self._real.pool.execute("UPDATE webhook_waits SET leased_until = NULL"))

    def pass_on(self) -> int | None:
        return self._same(self._model.pass_on(), self._real.pass_on())

    def holder(self) -> int | None:
        return self._same(self._model.holder(), self._real.holder())

    def is_empty(self) -> bool:
        expected = self._model.is_empty()
        assert (self._loop.run(self._real.left()) == 0) == expected
        return expected

    def _same(self, expected: T, found: Coroutine[Any, Any, T]) -> T:
        assert self._loop.run(found) == expected
        return expected


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def pool(loop: LoopThread, session_nodes: SessionNodes) -> Iterator[asyncpg.Pool]:
    stack = AsyncExitStack()

    async def opened() -> asyncpg.Pool:
        url = await stack.enter_async_context(session_nodes.database_url())
        made = asyncpg.create_pool(url, min_size=1, max_size=8, command_timeout=300)
        return await stack.enter_async_context(made)

    yield loop.run(opened())
    loop.run(stack.aclose())


@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    arriving=st.permutations(range(4)),
    steps=st.integers(min_value=0, max_value=60),
)
def test_postgresql_gives_the_turns_as_the_model_does(
    loop: LoopThread, pool: asyncpg.Pool, data: st.DataObject, arriving: list[int], steps: int
) -> None:
    """The world checks the order too, and at its end that nothing is left."""
    # A failed example may have left something.
    loop.run(pool.execute("TRUNCATE webhook_turns, webhook_waits"))
    world = World(
        turns=Compared(loop, SqlTurns(pool)),
        choose=lambda options: options[data.draw(st.integers(0, len(options) - 1))],
        arriving=list(arriving),
    )
    for _ in range(steps):
        world.step()
    world.drain()


class Processors:
    """Several processors and a sweeper, which work on one key at the same time."""

    def __init__(self, turns: SqlTurns, webhooks: int, chance: random.Random) -> None:
        self._turns = turns
        self._chance = chance
        self._queue = [Message(webhook, 1) for webhook in range(webhooks)]
        self._open = webhooks
        self._running: int | None = None
        self.effects: list[int] = []
        chance.shuffle(self._queue)

    async def run(self, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep())
            for _ in range(count):
                group.create_task(self._work())

    async def _work(self) -> None:
        while self._open:
            if not self._queue:
                await asyncio.sleep(0.001)
                continue
            message = self._queue.pop(self._chance.randrange(len(self._queue)))
            if await self._turns.begin(message) is Begin.RUN:
                await self._attempt(message)

    async def _attempt(self, message: Message) -> None:
        assert self._running is None, f"{message.webhook} runs beside {self._running}."
        self._running = message.webhook
        await asyncio.sleep(self._chance.random() / 500)
        self._running = None
        is_last = message.attempt == MAX_ATTEMPTS
        fails = not is_last and self._chance.random() < 0.3
        outcome = AttemptOutcome.FAILED if fails else AttemptOutcome.COMPLETED
        await self._turns.finish(message, outcome)
        if fails:
            self._queue.append(message._replace(attempt=message.attempt + 1))
        else:
            self.effects.append(message.webhook)
            self._open -= 1

    async def _sweep(self) -> None:
        while self._open:
            rows = await self._turns.lease()
            self._queue += [self._turns.message_of(row) for row in rows]
            for row in rows:
                await self._turns.delete(row)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(3))
def test_many_processors_at_once_run_one_webhook_at_a_time_and_forget_none(
    loop: LoopThread, pool: asyncpg.Pool, seed: int
) -> None:
    """A webhook that is parked at the moment in which the turn is given on is not forgotten."""
    processors = Processors(SqlTurns(pool), 60, random.Random(seed))

    async def run() -> None:
        await pool.execute("TRUNCATE webhook_turns, webhook_waits")
        async with asyncio.timeout(120):
            await processors.run(6)

    loop.run(run())

    assert sorted(processors.effects) == list(range(60))
    assert loop.run(SqlTurns(pool).left()) == 0


def test_no_turn_is_left_unchecked_however_many_there_are(
    loop: LoopThread, pool: asyncpg.Pool
) -> None:
    async def oldest_check_after_two_calls() -> timedelta:
        await pool.execute("TRUNCATE webhook_turns, webhook_waits")
        await pool.execute(
            "INSERT INTO webhook_turns (org_id, order_key, delivery_id, is_late, checked_at) "
            "SELECT gen_random_uuid(), 'key', gen_random_uuid(), false, now() - interval '1 day' "
            "FROM generate_series(1, 1500)"
        )
        for _ in range(2):
            await pool.execute(load(_LOG, "check_turns.sql"), _GAP, _MANY)
            # Until the next call, they become due again.
            await pool.execute("UPDATE webhook_turns SET checked_at = checked_at - interval '5 s'")
        return timedelta(
            seconds=await pool.fetchval(
                "SELECT extract(epoch FROM now() - min(checked_at))::float FROM webhook_turns"
            )
        )

    assert loop.run(oldest_check_after_two_calls()) < timedelta(hours=1)
