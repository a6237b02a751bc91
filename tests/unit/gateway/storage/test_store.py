"""Where a webhook is stored, for all outcomes of broker and spool."""

from dataclasses import dataclass, field

import pytest

from ringback.contract.envelope import Envelope
from ringback.contract.trace_context import TraceContext
from ringback.services.gateway.storage.breaker import Breaker
from ringback.services.gateway.storage.result import PublishOutcome, SpoolOutcome, StorageTier
from ringback.services.gateway.storage.store import ConfirmTimeouts, WebhookStore
from ringback.services.gateway.webhook import AcceptedWebhook
from tests.unit.gateway.envelopes import a_webhook

BODY = b"{}"
CONFIRMED, *NOT_CONFIRMED = PublishOutcome
SPOOLED, *NOT_SPOOLED = SpoolOutcome


@dataclass
class ScriptedBroker:
    outcome: PublishOutcome
    timeouts_s: list[float] = field(default_factory=list)

    async def is_ready(self) -> bool:
        return self.outcome is CONFIRMED

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        assert (isinstance(envelope, Envelope), body) == (True, BODY)
        self.timeouts_s.append(timeout_s)
        return self.outcome


@dataclass
class ScriptedSpool:
    outcome: SpoolOutcome
    room: bool = True
    count: int = 0

    def has_room(self) -> bool:
        return self.room

    async def can_store(self) -> bool:
        return self.outcome is SPOOLED and self.room

    async def store(self, webhook: AcceptedWebhook) -> SpoolOutcome:
        assert webhook.body == BODY
        self.count += self.outcome is SPOOLED
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


@pytest.mark.parametrize(
    ("outcome", "spool", "tier", "reason", "timeout_s"),
    [
        (CONFIRMED, ScriptedSpool(SPOOLED), StorageTier.BROKER, CONFIRMED, 0.4),
        *((one, ScriptedSpool(SPOOLED), StorageTier.SPOOL, SPOOLED, 0.4) for one in NOT_CONFIRMED),
        # Neither has it: the reason is that of the last try.
        *((NOT_CONFIRMED[0], ScriptedSpool(one), None, one, 0.4) for one in NOT_SPOOLED),
        # Without a usable spool the broker decides, and has more time.
        *((one, None, None, one, 2.0) for one in NOT_CONFIRMED),
        *((one, ScriptedSpool(SPOOLED, room=False), None, one, 2.0) for one in NOT_CONFIRMED),
    ],
)
async def test_a_webhook_is_in_one_place_or_rejected(
    outcome: PublishOutcome,
    spool: ScriptedSpool | None,
    tier: StorageTier | None,
    reason: str,
    timeout_s: float,
) -> None:
    """In the spool only if the broker did not confirm it."""
    broker = ScriptedBroker(outcome)

    stored = await webhook_store(broker, spool).store(a_webhook(BODY))

    assert (stored.tier, stored.published, stored.reason) == (tier, outcome, reason)
    assert broker.timeouts_s == [timeout_s]
    assert spool is None or spool.count == (tier is StorageTier.SPOOL)


async def test_the_breaker_skips_a_slow_broker() -> None:
    """After one timeout the broker is not tried while webhooks are in the spool."""
    broker, spool = ScriptedBroker(PublishOutcome.TIMEOUT), ScriptedSpool(SPOOLED)
    subject = webhook_store(broker, spool)

    for _ in range(3):
        await subject.store(a_webhook(BODY))
    asked_while_open = len(broker.timeouts_s)
    spool.count = 0
    await subject.store(a_webhook(BODY))

    assert asked_while_open == 1
    assert len(broker.timeouts_s) == 2
