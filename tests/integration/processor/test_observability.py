"""The processor's metrics and health checks."""

import aiohttp

from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_it_is_ready_and_counts_each_end_once(stage: Stage, start: Starter) -> None:
    """Ready with database, consumers and publisher; a duplicate is no completion.

    A retried webhook was accepted long before, so its completion time is not counted.
    """
    [port] = free_ports(1)
    process = start(stage.place, processor_observability_port=str(port))
    await process.ready()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def is_ready() -> bool:
            async with session.get("/readyz") as answer:
                return answer.status == 200

        async def metrics() -> str:
            async with session.get("/metrics") as answer:
                return await answer.text()

        await eventually(is_ready)
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

        async def counted() -> str:
            text = await metrics()
            assert "webhook_repeated_total 1.0" in text
            assert 'webhook_dead_letters_total{reason="permanent"} 1.0' in text
            return text

        text = await eventually(counted)
    assert 'webhook_completed_total{event_type="hang"} 2.0' in text
    assert "webhook_duplicates_total 1.0" in text
    assert 'webhook_attempts_total{attempt="1",outcome="permanent"} 1.0' in text
    assert "webhook_processing_duration_seconds_count 6.0" in text
    for outcome, count in (("completed", 2), ("duplicate", 1), ("dead_letter", 1)):
        line = f'webhook_finish_delay_seconds_count{{outcome="{outcome}"}} {count}.0'
        assert line in text
    assert 'webhook_attempts_total{attempt="2",outcome="completed"} 1.0' in text
    assert 'webhook_retries_scheduled_total{attempt="1"} 1.0' in text
    assert 'webhook_retries_scheduled_total{attempt="2"} 0.0' in text
    assert "webhook_first_attempt_delay_seconds_count 5.0" in text
    assert 'webhook_handler_duration_seconds_count{event_type="other"} 3.0' in text
    assert "webhook_in_flight 0.0" in text
