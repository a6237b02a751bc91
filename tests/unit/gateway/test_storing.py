"""Which disk an accepted webhook is brought to, for all that broker and spool may do."""

from dataclasses import dataclass, field

import pytest
from pamqp.commands import Basic

from ringback.contract.envelope import Envelope
from ringback.contract.trace_context import TraceContext
from services.gateway.breaker import Breaker
from services.gateway.publish_outcome import PublishOutcome
from services.gateway.spool.spool_outcome import SpoolOutcome
from services.gateway.storing import Patience, Stored, StoredIn, Storing
from tests.unit.gateway.envelopes import an_envelope

BODY = b"{}"
NOT_CONFIRMED = [outcome for outcome in PublishOutcome if outcome is not PublishOutcome.CONFIRMED]
NOT_SPOOLED = [outcome for outcome in SpoolOutcome if outcome is not SpoolOutcome.SPOOLED]


@dataclass
class ScriptedBroker:
    outcome: PublishOutcome
    timeouts_s: list[float] = field(default_factory=list)

    async def publish(
        self, body: bytes, properties: Basic.Properties, *, timeout_s: float
    ) -> PublishOutcome:
        assert (body, properties.message_id) == (BODY, properties.message_id)
        self.timeouts_s.append(timeout_s)
        return self.outcome


@dataclass
class ScriptedSpool:
    outcome: SpoolOutcome = SpoolOutcome.SPOOLED
    room: bool = True
    count: int = 0

    def has_room(self) -> bool:
        return self.room

    async def store(self, envelope: Envelope, body: bytes) -> SpoolOutcome:
        assert (isinstance(envelope, Envelope), body) == (True, BODY)
        self.count += self.outcome is SpoolOutcome.SPOOLED
        return self.outcome


class Silent:
    def publish_ended(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None:
        """Nobody asks here."""

    def spooling_ended(self, outcome: SpoolOutcome) -> None:
        """Nobody asks here."""


def storing(broker: ScriptedBroker, spool: ScriptedSpool | None) -> Storing:
    return Storing(
        broker=broker,
        spool=spool,
        breaker=Breaker(),
        patience=Patience(with_spool_s=0.4, alone_s=2.0),
        observe=Silent(),
        observe_spool=Silent(),
    )


async def store(broker: ScriptedBroker, spool: ScriptedSpool | None) -> Stored:
    return await storing(broker, spool).store(an_envelope(), BODY)


async def test_what_the_broker_confirms_is_with_the_broker() -> None:
    """The spool is not asked."""
    broker, spool = ScriptedBroker(PublishOutcome.CONFIRMED), ScriptedSpool()

    stored = await store(broker, spool)

    assert (stored.place, spool.count, broker.timeouts_s) == (StoredIn.BROKER, 0, [0.4])


@pytest.mark.parametrize("outcome", NOT_CONFIRMED)
async def test_what_the_broker_does_not_confirm_is_spooled(outcome: PublishOutcome) -> None:
    """Whatever the reason."""
    spool = ScriptedSpool()

    stored = await store(ScriptedBroker(outcome), spool)

    assert (stored.place, stored.published, spool.count) == (StoredIn.SPOOL, outcome, 1)


@pytest.mark.parametrize("spooled", NOT_SPOOLED)
async def test_what_neither_takes_is_nowhere(spooled: SpoolOutcome) -> None:
    """The reason is the spool's, which was the last hope."""
    stored = await store(ScriptedBroker(PublishOutcome.LINK_DOWN), ScriptedSpool(spooled))

    assert (stored.place, stored.reason) == (None, spooled.value)


@pytest.mark.parametrize("outcome", NOT_CONFIRMED)
@pytest.mark.parametrize("spool", [None, ScriptedSpool(room=False)], ids=["none", "full"])
async def test_without_room_in_a_spool_the_broker_decides(
    spool: ScriptedSpool | None, outcome: PublishOutcome
) -> None:
    """It is waited for as long as a sender can wait."""
    broker = ScriptedBroker(outcome)

    stored = await store(broker, spool)

    assert (stored.place, stored.reason) == (None, outcome.value)
    assert broker.timeouts_s == [2.0]


async def test_nobody_waits_for_a_broker_that_was_too_slow() -> None:
    """After one timeout the broker is not asked, as long as the spool holds what it left."""
    broker, spool = ScriptedBroker(PublishOutcome.TIMEOUT), ScriptedSpool()
    subject = storing(broker, spool)

    for _ in range(3):
        await subject.store(an_envelope(), BODY)
    asked_while_open = len(broker.timeouts_s)
    spool.count = 0
    await subject.store(an_envelope(), BODY)

    assert asked_while_open == 1
    assert len(broker.timeouts_s) == 2
