"""One org sends 50 times as much as each of ten others, and its handlers hang.

The rates, the queues and the slots are those of the services. The broker, the handlers and the
clock are not: time passes only while everything waits, so a busy machine changes no figure.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from ringback.cli.load.load_generator import percentile
from ringback.contract.retry_schedule import FIRST_ATTEMPT
from ringback.contract.topology import REQUEUED_QUEUE
from ringback.services.gateway.storage.org_rate import OrgRates
from ringback.services.processor.attempt.fair_share import SlotRequest
from ringback.services.processor.attempt.handler_slots import HandlerSlots, ShareExceededError
from ringback.services.processor.attempt.policy import SourceQueue, park
from tests.support.jumping_loop import JumpingLoop

CALM = [UUID(int=number) for number in range(1, 11)]
FLOODING = UUID(int=1_000)
PER_CALM_ORG_PER_S = 2.0
TIMES = 50
SECONDS = 120.0
FLOOD_BEGINS_S = 5.0
PREFETCH = 5
TIMEOUT_S = 30.0
RETRY_DELAYS_S = (2.0, 4.0, 8.0)
STEP_S = 0.005
"""How long a handler takes that does not hang; also a commit, and a publish with its confirm."""


@dataclass(slots=True)
class Webhook:
    org: UUID
    accepted_s: float
    attempt: int = 1
    parks: int = 0


@dataclass
class Installation:
    """A gateway, a broker and a processor."""

    loop: asyncio.AbstractEventLoop
    latencies_s: list[float] = field(default_factory=list)
    parked: Counter[UUID] = field(default_factory=Counter)
    slot_seconds: float = 0.0
    """Of the flooding org."""

    def __post_init__(self) -> None:
        self.rates = OrgRates(50.0, on_over=lambda _: None, clock=self.loop.time)
        self.slots = HandlerSlots(PREFETCH, prefetch=PREFETCH, clock=self.loop.time)
        self.queues = defaultdict[SourceQueue, asyncio.Queue[Webhook]](asyncio.Queue)
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self, org: UUID, times: Iterator[float]) -> None:
        for at_s in times:
            await asyncio.sleep(at_s - self.loop.time())
            queue = SourceQueue.BULK if self.rates.is_over(org) else SourceQueue.WORK
            self.queues[queue].put_nowait(Webhook(org, self.loop.time()))

    async def consume(self, queue: SourceQueue) -> None:
        places = asyncio.Semaphore(PREFETCH)
        while True:
            await places.acquire()
            webhook = await self.queues[queue].get()
            task = asyncio.create_task(self.handle(webhook, queue))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            task.add_done_callback(lambda _: places.release())

    async def handle(self, webhook: Webhook, queue: SourceQueue) -> None:
        hangs = webhook.org == FLOODING
        try:
            async with self.slots.acquire(SlotRequest(queue, webhook.org)):
                started_s = self.loop.time()
                await asyncio.sleep(TIMEOUT_S if hangs else STEP_S)
        except ShareExceededError as exc:
            await self.park(webhook, hangs=exc.hangs)
            return
        await asyncio.sleep(STEP_S)
        if not hangs:
            self.latencies_s.append(self.loop.time() - webhook.accepted_s)
            return
        self.slot_seconds += min(SECONDS, started_s + TIMEOUT_S) - min(SECONDS, started_s)
        if webhook.attempt <= len(RETRY_DELAYS_S):
            again = Webhook(FLOODING, webhook.accepted_s, webhook.attempt + 1)
            self.due_after(RETRY_DELAYS_S[webhook.attempt - 1], again)

    async def park(self, webhook: Webhook, *, hangs: bool) -> None:
        self.parked[webhook.org] += 1
        verdict = park(webhook.parks, attempt=FIRST_ATTEMPT, hangs=hangs)
        await asyncio.sleep(STEP_S)
        webhook.parks += 1
        if verdict.routing_key == REQUEUED_QUEUE and verdict.wait_ms is not None:
            self.due_after(verdict.wait_ms / 1000, webhook)
        else:
            self.queues[SourceQueue(verdict.routing_key)].put_nowait(webhook)

    def due_after(self, wait_s: float, webhook: Webhook) -> None:
        self.loop.call_later(wait_s, self.queues[SourceQueue.DUE].put_nowait, webhook)


def times_at(per_s: float, chance: random.Random) -> Iterator[float]:
    at_s = 0.0 if per_s == PER_CALM_ORG_PER_S else FLOOD_BEGINS_S
    while (at_s := at_s + chance.expovariate(per_s)) < SECONDS:
        yield at_s


async def run(*, is_flooded: bool) -> Installation:
    """Send for two minutes, and go on until the attempts that run then have timed out."""
    installation = Installation(asyncio.get_running_loop())
    rates = dict.fromkeys(CALM, PER_CALM_ORG_PER_S)
    if is_flooded:
        rates[FLOODING] = TIMES * PER_CALM_ORG_PER_S
    async with asyncio.TaskGroup() as group:
        consumers = [
            group.create_task(installation.consume(queue))
            for queue in (SourceQueue.WORK, SourceQueue.BULK, SourceQueue.DUE)
        ]
        for org, per_s in rates.items():
            # The same moments for a calm org with and without the flood.
            times = times_at(per_s, random.Random(org.int))
            group.create_task(installation.accept(org, times))
        await asyncio.sleep(SECONDS + TIMEOUT_S + 1)
        for consumer in consumers:
            consumer.cancel()
    for task in installation.tasks:
        task.cancel()
    return installation


def test_others_notice_nothing() -> None:
    """Their p99 is that of a calm hour, and the flooding org gets more than its share."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        calm = runner.run(run(is_flooded=False))
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        flooded = runner.run(run(is_flooded=True))

    assert len(flooded.latencies_s) == len(calm.latencies_s) > 2_000
    assert set(flooded.parked) == {FLOODING}
    assert flooded.slot_seconds / (PREFETCH * SECONDS) > 1 / (len(CALM) + 1)
    p99_calm, p99_flooded = (percentile(one.latencies_s, 99) or 0.0 for one in (calm, flooded))
    assert p99_flooded <= 1.1 * p99_calm
