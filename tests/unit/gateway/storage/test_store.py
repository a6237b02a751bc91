"""Where a webhook is stored, for all outcomes of broker and spool."""

from dataclasses import dataclass, field

import pytest

from ringback.contract.envelope import Envelope
from ringback.contract.trace_context import TraceContext
from services.gateway.storage.breaker import Breaker
from services.gateway.storage.result import PublishOutcome, SpoolOutcome, StorageTier, StoreResult
from services.gateway.storage.store import ConfirmTimeouts, WebhookStore
from services.gateway.webhook import AcceptedWebhook
from tests.unit.gateway.envelopes import a_webhook

BODY = b"{}"
NOT_CONFIRMED = [outcome for outcome in PublishOutcome if outcome is not PublishOutcome.CONFIRMED]
NOT_SPOOLED = [outcome for outcome in SpoolOutcome if outcome is not SpoolOutcome.SPOOLED]


@dataclass
class ScriptedBroker:
    outcome: PublishOutcome
    timeouts_s: list[float] = field(default_factory=list)

    async def is_ready(self) -> bool:
        return self.outcome is PublishOutcome.CONFIRMED

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        assert (isinstance(envelope, Envelope), body) == (True, BODY)
        self.timeouts_s.append(timeout_s)
        return self.outcome


@dataclass
class ScriptedSpool:
    outcome: SpoolOutcome = SpoolOutcome.SPOOLED
    room: bool = True
    count: int = 0

    def has_room(self) -> bool:
        return self.room

    async def can_store(self) -> bool:
        return self.outcome is SpoolOutcome.SPOOLED and self.room

    async def store(self, webhook: AcceptedWebhook) -> SpoolOutcome:
        assert webhook.body == BODY
        self.count += self.outcome is SpoolOutcome.SPOOLED
        return self.outcome


class NoInstruments:
    def publish_finished(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None:
        """Not checked here."""

    def spool_write_finished(self, outcome: SpoolOutcome) -> None:
        """Not checked here."""


def webhook_store(broker: ScriptedBroker, spool: ScriptedSpool | None) -> WebhookStore:
    return WebhookStore(
        broker=broker,
        spool=spool,
        breaker=Breaker(),
        timeouts=ConfirmTimeouts(with_spool_s=0.4, without_spool_s=2.0),
        instruments=NoInstruments(),
        spool_instruments=NoInstruments(),
    )


async def store(broker: ScriptedBroker, spool: ScriptedSpool | None) -> StoreResult:
    return await webhook_store(broker, spool).store(a_webhook(BODY))


async def test_a_confirmed_webhook_is_not_spooled() -> None:
    """The spool is not used."""
    broker, spool = ScriptedBroker(PublishOutcome.CONFIRMED), ScriptedSpool()

    stored = await store(broker, spool)

    assert (stored.tier, spool.count, broker.timeouts_s) == (StorageTier.BROKER, 0, [0.4])


@pytest.mark.parametrize("outcome", NOT_CONFIRMED)
async def test_an_unconfirmed_webhook_is_spooled(outcome: PublishOutcome) -> None:
    """For any outcome."""
    spool = ScriptedSpool()

    stored = await store(ScriptedBroker(outcome), spool)

    assert (stored.tier, stored.published, spool.count) == (StorageTier.SPOOL, outcome, 1)


@pytest.mark.parametrize("spooled", NOT_SPOOLED)
async def test_a_webhook_may_be_stored_nowhere(spooled: SpoolOutcome) -> None:
    """The reason is the spool's, which was tried last."""
    stored = await store(ScriptedBroker(PublishOutcome.NOT_CONNECTED), ScriptedSpool(spooled))

    assert (stored.tier, stored.reason) == (None, spooled.value)


@pytest.mark.parametrize("outcome", NOT_CONFIRMED)
@pytest.mark.parametrize("spool", [None, ScriptedSpool(room=False)], ids=["none", "full"])
async def test_without_a_usable_spool_the_broker_decides(
    spool: ScriptedSpool | None, outcome: PublishOutcome
) -> None:
    """The longer timeout applies."""
    broker = ScriptedBroker(outcome)

    stored = await store(broker, spool)

    assert (stored.tier, stored.reason) == (None, outcome.value)
    assert broker.timeouts_s == [2.0]


async def test_the_breaker_skips_a_slow_broker() -> None:
    """After one timeout the broker is not tried while webhooks are in the spool."""
    broker, spool = ScriptedBroker(PublishOutcome.TIMEOUT), ScriptedSpool()
    subject = webhook_store(broker, spool)

    for _ in range(3):
        await subject.store(a_webhook(BODY))
    asked_while_open = len(broker.timeouts_s)
    spool.count = 0
    await subject.store(a_webhook(BODY))

    assert asked_while_open == 1
    assert len(broker.timeouts_s) == 2
