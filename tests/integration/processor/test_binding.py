"""The work queue is cut off from what is published."""

from ringback.contract.topology import WEBHOOKS, WORK_BINDING, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.stage import Stage
from tests.support.eventually import eventually


async def test_a_processor_is_not_ready_without_the_binding_of_its_queue(
    stage: Stage, start: Starter, broker: PrivateBroker
) -> None:
    """It would receive nothing. The processor keeps running, and is ready once bound again."""
    [port] = free_ports(1)
    process = start(
        stage.place,
        processor_observability_port=str(port),
        rabbitmq_management_url=broker.management_url,
    )
    await process.ready()
    queue = await stage.channel.get_queue(WORK_QUEUE, ensure=False)
    async with exposed(port) as asked:
        await eventually(asked.is_ready)
        await queue.unbind(WEBHOOKS, WORK_BINDING.routing_key)
        await eventually(lambda: asked.is_unready_for("binding"))
        await queue.bind(WEBHOOKS, WORK_BINDING.routing_key)
        await eventually(asked.is_ready)
