"""A handler that blocks the event loop."""

from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually

_BLOCKS_S = 60.0
_PROBE_S = 1.0


async def test_a_blocked_event_loop_is_found_by_its_liveness(stage: Stage, start: Starter) -> None:
    """It stops answering; after a restart, it finishes the webhook at its first attempt."""
    [port] = free_ports(1)
    process = start(stage.place, processor_observability_port=str(port))
    await process.ready()
    async with exposed(port) as asked:
        await eventually(lambda: asked.is_live(within_s=10))
        job_id = await stage.send(scripted("transaction", block_s=_BLOCKS_S))
        await stage.until_run(job_id)

        async def is_found() -> bool:
            return not any([await asked.is_live(within_s=_PROBE_S) for _ in range(3)])

        await eventually(is_found, deadline_s=20)
    process.kill()
    start(stage.place)

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == await stage.effects(job_id) == 1
