"""Consumers that the broker no longer knows, on a connection that looks healthy."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aio_pika.abc import AbstractIncomingMessage

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import WORK_QUEUE
from services.processor.consume import consumer as tap_module
from services.processor.consume import consumer_group as intake_module
from services.processor.consume.consumer_group import ConsumerGroup
from services.processor.consume.database_watch import DatabaseWatch
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


class Taken:
    """A consumer group, and the webhooks that it received."""

    def __init__(self, stage: Stage, amqp_url: str) -> None:
        watch = DatabaseWatch(self._answers, hold_s=60)
        self.ids: set[str] = set()
        self.intake = ConsumerGroup(amqp_url, stage.place.schedule, 5, watch)
        self.intake.take(work=self._take, quarantine=self._take, dead_letter=self._take)

    @property
    def work_tag(self) -> str:
        """The broker's name for the consumer of the work queue."""
        tag = self.intake._taps[0]._consumer_tag
        assert tag is not None
        return tag

    async def _answers(self) -> bool:
        return True

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self.ids.add(message.message_id or "")
        await message.ack()


@asynccontextmanager
async def taking(stage: Stage, amqp_url: str) -> AsyncGenerator[Taken, None]:
    """A running consumer group that has already received a message."""
    taken = Taken(stage, amqp_url)
    async with taken.intake:
        await taken.intake.resume()
        first = await stage.send(scripted("plain"))
        await eventually(lambda: str(first) in taken.ids)
        yield taken


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes ten seconds, all together take less than one."""
    monkeypatch.setattr(intake_module, "_WATCH_EVERY_S", 0.2)
    monkeypatch.setattr(tap_module, "_RPC_TIMEOUT_S", 0.5)


@pytest.mark.usefixtures("impatient")
async def test_a_mute_connection_is_given_up(stage: Stage, proxy: FaultProxy) -> None:
    """If a broker does not report whether it knows us, a new connection asks."""
    async with taking(stage, proxy.through(stage.place.amqp_url)) as taken:
        proxy.strand()

        # The broker gives the dead connection some until it drops that itself.
        jobs = [str(await stage.send(scripted("plain"))) for _ in range(20)]

        await eventually(lambda: bool(taken.ids & set(jobs)), deadline_s=20)


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_that_vanished_is_made_anew(stage: Stage) -> None:
    """The connection and the channel are healthy, but the broker knows no consumer."""
    async with taking(stage, stage.place.amqp_url) as taken:
        channel = taken.intake._taps[0]._channel
        assert channel is not None
        await channel.basic_cancel(taken.work_tag)

        job_id = await stage.send(scripted("plain"))

        await eventually(lambda: str(job_id) in taken.ids)
        assert await stage.depth(WORK_QUEUE) == 0


def test_both_are_noticed_in_half_a_minute() -> None:
    """An unanswered question takes its own time on top of the interval."""
    assert intake_module._WATCH_EVERY_S + tap_module._RPC_TIMEOUT_S <= 25
