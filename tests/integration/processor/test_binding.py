"""The work queue is cut off from what is published."""

from ringback.contract.topology import DUE_BINDINGS, WEBHOOKS, WORK_BINDING
from ringback.local.broker import PrivateBroker
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.stage import Stage
from tests.support.eventually import eventually


async def test_a_processor_is_not_ready_without_the_binding_of_its_queue(
    stage: Stage, start: Starter, broker: PrivateBroker
) -> None:
    """It would receive nothing, or no retry. It keeps running, and is ready once bound again."""
    [port] = free_ports(1)
    process = start(
        stage.place,
        processor_observability_port=str(port),
        rabbitmq_management_url=broker.management_url,
    )
    await process.ready()
    async with exposed(port) as asked:
        await eventually(asked.is_ready)
        for binding in (WORK_BINDING, DUE_BINDINGS[0]):
            queue = await stage.channel.get_queue(binding.queue, ensure=False)
            await queue.unbind(WEBHOOKS, binding.routing_key)
            await eventually(lambda: asked.is_unready_for("binding"))
            await queue.bind(WEBHOOKS, binding.routing_key)
            await eventually(asked.is_ready)
