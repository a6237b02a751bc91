"""The processor's metrics and health checks, also while something is wrong."""

from ringback.contract.topology import DUE_BINDINGS, WEBHOOKS, WORK_BINDING
from ringback.local.broker import PrivateBroker
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually

COUNTED = (
    "webhook_repeated_total 1.0",
    'webhook_dead_letters_total{reason="permanent"} 1.0',
    'webhook_completed_total{event_type="hang"} 2.0',
    "webhook_duplicates_total 1.0",
    'webhook_attempts_total{attempt="1",outcome="permanent"} 1.0',
    "webhook_processing_duration_seconds_count 6.0",
    'webhook_finish_delay_seconds_count{outcome="completed"} 2.0',
    'webhook_finish_delay_seconds_count{outcome="duplicate"} 1.0',
    'webhook_finish_delay_seconds_count{outcome="dead_letter"} 1.0',
    'webhook_attempts_total{attempt="2",outcome="completed"} 1.0',
    'webhook_retries_scheduled_total{attempt="1"} 1.0',
    'webhook_retries_scheduled_total{attempt="2"} 0.0',
    "webhook_first_attempt_delay_seconds_count 5.0",
    'webhook_handler_duration_seconds_count{event_type="other"} 3.0',
    "webhook_in_flight 0.0",
)


async def test_it_is_ready_and_counts_each_end_once(stage: Stage, start: Starter) -> None:
    """Ready with database, consumers and publisher; a duplicate is no completion.

    A retried webhook was accepted long before, so its completion time is not counted.
    """
    [port] = free_ports(1)
    process = start(stage.place, processor_observability_port=str(port))
    await process.ready()
    async with exposed(port) as probe:
        await eventually(probe.is_ready)
        first = await stage.send({"message": {"type": "hang"}}, dedup_key="k")
        await stage.until(first, "completed")
        second = await stage.send({"message": {"type": "hang"}}, dedup_key="k")
        await stage.until(second, "duplicate")
        dead = await stage.send(scripted("plain", permanent="no use"))
        await stage.until(dead, "dead_letter")
        climbed = await stage.send(scripted("plain", fail_times=1))
        await stage.until(climbed, "completed")
        retry = await stage.send({"message": {"type": "hang"}}, retry_of=dead)
        await stage.until(retry, "completed")
        await stage.send({"message": {"type": "hang"}}, job_id=first)

        async def counted() -> bool:
            missing = [line for line in COUNTED if not await probe.has(line)]
            assert not missing
            return True

        await eventually(counted)


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


_BLOCKS_S = 3600.0
_PROBE_S = 1.0


async def test_a_blocked_event_loop_is_found_by_its_liveness(stage: Stage, start: Starter) -> None:
    """It stops answering; after a restart, it finishes the webhook at its first attempt."""
    [port] = free_ports(1)
    process = start(stage.place, processor_observability_port=str(port))
    await process.ready()
    async with exposed(port) as asked:
        await eventually(lambda: asked.is_live(within_s=60))
        job_id = await stage.send(scripted("transaction", block_s=_BLOCKS_S))
        await stage.until_run(job_id)

        async def is_found() -> bool:
            return not any([await asked.is_live(within_s=_PROBE_S) for _ in range(3)])

        await eventually(is_found, deadline_s=20)
    process.kill()
    start(stage.place)

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == await stage.effects(job_id) == 1
