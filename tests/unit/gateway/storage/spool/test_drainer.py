"""The rate of the drainer, and webhooks that the broker does not accept."""

# ruff: file-ignore[unused-method-argument] - stand-ins that look at little of what they are given.

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ringback.contract.envelope import Envelope
from ringback.contract.identity import new_job_id
from ringback.contract.trace_context import new_trace_context
from services.gateway.storage.breaker import Breaker
from services.gateway.storage.result import PublishOutcome
from services.gateway.storage.spool.drainer import Drainer
from services.gateway.storage.spool.file import SpooledWebhook
from tests.support.eventually import eventually

PER_S = 100
BATCH = PER_S // 10


def waiting(sequence: int) -> SpooledWebhook:
    envelope = Envelope(
        job_id=new_job_id(),
        event_type="hang",
        org_id=uuid4(),
        endpoint_id="default",
        received_at=datetime.now(UTC),
        gateway_instance_id=uuid4(),
        trace=new_trace_context(),
    )
    return SpooledWebhook(sequence, envelope, b"{}")


class FullSpool:
    """Contains webhooks, and records when some are deleted."""

    def __init__(self, count: int) -> None:
        self._left = [waiting(sequence) for sequence in range(1, count + 1)]
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


class SlowBroker:
    is_connected = True

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    async def publish(
        self,
        envelope: Envelope,
        body: bytes,
        *,
        timeout_s: float,
    ) -> PublishOutcome:
        await asyncio.sleep(self._takes_s)
        return PublishOutcome.CONFIRMED


class RejectingBroker:
    """Closes the connection at one webhook that is too large."""

    is_connected = True

    def __init__(self, too_large: str) -> None:
        self._too_large = too_large

    async def publish(
        self,
        envelope: Envelope,
        body: bytes,
        *,
        timeout_s: float,
    ) -> PublishOutcome:
        if str(envelope.job_id) == self._too_large:
            return PublishOutcome.CONNECTION_LOST
        return PublishOutcome.CONFIRMED


class NoInstruments:
    def drained(self, count: int, *, left: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...
    def failed(self) -> None: ...


@pytest.mark.parametrize("takes_s", [0.0, 0.06])
async def test_the_rate_does_not_depend_on_the_broker(takes_s: float) -> None:
    """A tenth of a second from batch to batch, however long publishing takes."""
    spool = FullSpool(6 * BATCH)
    drainer = Drainer(
        spool=spool,
        broker=SlowBroker(takes_s),
        breaker=Breaker(),
        instruments=NoInstruments(),
        per_s=PER_S,
        timeout_s=2.0,
    )
    async with asyncio.timeout(30), drainer:
        await spool.is_empty.wait()

    between_s = sorted(
        later - earlier
        for earlier, later in zip(spool.deleted_at, spool.deleted_at[1:], strict=False)
    )
    assert sum(between_s) >= 0.1 * len(between_s) - 0.05
    # The shortest: a busy machine may delay the others.
    assert between_s[0] < 0.15


async def test_a_webhook_that_loses_the_connection_does_not_block_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stays and is tried again; the others are published."""
    monkeypatch.setattr("services.gateway.storage.spool.drainer._PROBE_WAIT_S", 0.01)
    spool = FullSpool(3)
    [first, *others] = await spool.read_after(0, max_count=3, max_bytes=10**9)
    drainer = Drainer(
        spool=spool,
        broker=RejectingBroker(str(first.envelope.job_id)),
        breaker=Breaker(),
        instruments=NoInstruments(),
        per_s=PER_S,
        timeout_s=2.0,
    )
    async with asyncio.timeout(30), drainer:
        await eventually(lambda: spool.count == 1)

    assert await spool.read_after(0, max_count=3, max_bytes=10**9) == [first]
    assert len(others) == 2
