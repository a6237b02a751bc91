"""A connection that looks healthy, while the broker no longer answers on it."""

from aio_pika.abc import AbstractIncomingMessage

from chaos.fault_proxy import FaultProxy
from services.processor.attempt.handler_slots import HandlerSlots
from services.processor.consume.consumer import RPC_TIMEOUT_S
from services.processor.consume.consumer_group import CHECK_EVERY_S, ConsumerGroup, QueueHandlers
from services.processor.consume.message_handler import Consumers
from services.processor.database_watch import DatabaseWatch
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_a_mute_connection_is_replaced(stage: Stage, proxy: FaultProxy) -> None:
    """If a broker does not report whether it knows our consumers, a new connection is opened."""
    received: set[str] = set()

    async def receive(message: AbstractIncomingMessage, _: Consumers) -> None:
        received.add(message.message_id or "")
        await message.ack()

    async def answer() -> None:
        """The database is available."""

    group = ConsumerGroup(
        proxy.through(stage.place.amqp_url),
        stage.place.schedule,
        DatabaseWatch(answer, wait_s=60),
        prefetch=5,
        slots=HandlerSlots(5),
        handlers=QueueHandlers(receive, receive, receive, receive),
        check_every_s=0.2,
        rpc_timeout_s=0.5,
    )
    async with group:
        await group.resume()
        first = str(await stage.send(scripted("plain")))
        await eventually(lambda: first in received)

        proxy.strand()
        # The broker gives the dead connection some until it drops that itself.
        jobs = {str(await stage.send(scripted("plain"))) for _ in range(20)}

        await eventually(lambda: bool(received & jobs), deadline_s=20)


def test_a_lost_consumer_is_noticed_in_half_a_minute() -> None:
    """An unanswered question takes its own time on top of the interval."""
    assert CHECK_EVERY_S + RPC_TIMEOUT_S <= 25
