"""The rate of the drainer, and webhooks that the broker does not accept."""

# ruff: file-ignore[unused-method-argument] - stand-ins that look at little of what they are given.

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from ringback.contract.envelope import Envelope
from ringback.services.gateway.storage.breaker import Breaker
from ringback.services.gateway.storage.result import PublishOutcome
from ringback.services.gateway.storage.spool.drainer import Drainer
from ringback.services.gateway.storage.spool.file import SpooledWebhook
from tests.support.eventually import eventually
from tests.support.jumping_loop import JumpingLoop
from tests.unit.gateway.envelopes import an_envelope

PER_S = 100
BATCH = PER_S // 10


class FullSpool:
    """Contains webhooks, and records when some are deleted."""

    def __init__(self, count: int) -> None:
        self._left = [
            SpooledWebhook(sequence, an_envelope(), b"{}") for sequence in range(1, count + 1)
        ]
        self.deleted_at: list[float] = []
        self.is_empty = asyncio.Event()

    @property
    def count(self) -> int:
        return len(self._left)

    async def read_after(
        self, sequence: int, *, max_count: int, max_bytes: int
    ) -> list[SpooledWebhook]:
        return [one for one in self._left if one.sequence > sequence][:max_count]

    async def delete(self, webhooks: Sequence[SpooledWebhook]) -> None:
        self._left = [one for one in self._left if one not in webhooks]
        self.deleted_at.append(asyncio.get_running_loop().time())
        if not self._left:
            self.is_empty.set()


@dataclass
class FakeBroker:
    """Confirms after a while, and closes the connection at one webhook that is too large."""

    takes_s: float = 0.0
    too_large: str = ""
    is_connected: bool = True

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        await asyncio.sleep(self.takes_s)
        if str(envelope.job_id) == self.too_large:
            return PublishOutcome.CONNECTION_LOST
        return PublishOutcome.CONFIRMED


class NoInstruments:
    def drained(self, count: int, *, left: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


def draining(spool: FullSpool, broker: FakeBroker, *, per_s: int = PER_S) -> Drainer:
    return Drainer(
        spool=spool,
        broker=broker,
        breaker=Breaker(),
        instruments=NoInstruments(),
        per_s=per_s,
        timeout_s=2.0,
        probe_wait_s=0.01,
    )


@pytest.mark.parametrize("takes_s", [0.0, 0.06])
def test_the_rate_does_not_depend_on_the_broker(takes_s: float) -> None:
    """A tenth of a second from batch to batch, however long publishing takes."""
    spool = FullSpool(6 * BATCH)

    async def drain() -> None:
        async with asyncio.timeout(30), draining(spool, FakeBroker(takes_s)):
            await spool.is_empty.wait()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(drain())

    assert spool.deleted_at == pytest.approx([takes_s + 0.1 * batch for batch in range(6)])


async def test_a_webhook_that_loses_the_connection_does_not_block_others() -> None:
    """It stays and is tried again; the others are published."""
    spool = FullSpool(3)
    [first, *others] = await spool.read_after(0, max_count=3, max_bytes=10**9)
    broker = FakeBroker(too_large=str(first.envelope.job_id))
    async with draining(spool, broker, per_s=10):
        await eventually(lambda: spool.count == 1)

    assert await spool.read_after(0, max_count=3, max_bytes=10**9) == [first]
    assert len(others) == 2
