"""The processor works with the rights of its own role, and logs a missing one."""

from collections.abc import AsyncIterator

import pytest

from ringback.contract.topology import WORK_QUEUE
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import Exposed, exposed
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import Stage
from tests.integration.processor.test_heartbeat import rows
from tests.integration.processor.test_pause import HANG, set_paused
from tests.support.eventually import eventually

STATUS = {
    "message": {"type": "status-update", "status": "ringing", "call": {"id": "call-of-rights"}}
}


@pytest.fixture
async def port() -> AsyncIterator[tuple[int, Exposed]]:
    [number] = free_ports(1)
    async with exposed(number) as probe:
        yield number, probe


def start_as_role(start: Starter, stage: Stage, port: int) -> ProcessorProcess:
    url = f"{stage.place.database_url}?role=ringback_processor"
    return start(
        Place(stage.place.amqp_url, url),
        processor_observability_port=str(port),
        housekeeping="true",
        database_wait_s="1",
    )


async def test_its_role_is_enough_for_all_that_it_does(
    stage: Stage, start: Starter, port: tuple[int, Exposed]
) -> None:
    """Attempts, calls, dead letters, days, the pause and its own row."""
    number, probe = port
    process = start_as_role(start, stage, number)

    await stage.until(await stage.send(STATUS), "completed")
    await stage.until(await stage.send(HANG, key="elsewhere"), "dead_letter")
    await set_paused(stage, paused=True)
    await eventually(lambda: process.lines("processing.paused"))
    assert await eventually(lambda: rows(stage))
    await eventually(probe.is_ready)
    process.terminate()

    assert await process.ended() == 0
    assert not await rows(stage)
    refused = (
        "database.setup_incomplete",
        "heartbeat.failed",
        "housekeeping.failed",
        "pause.unknown",
    )
    assert not [line for event in refused for line in process.lines(event)]


@pytest.mark.parametrize(
    ("right", "named"),
    [
        ("INSERT ON webhook_delivery_attempts", "webhook_delivery_attempts"),
        ("UPDATE ON webhook_delivery_log", "webhook_delivery_log"),
        ("INSERT ON voice_calls", "voice_calls"),
    ],
)
async def test_a_right_that_is_taken_away_is_named_and_costs_no_attempt(
    stage: Stage, start: Starter, port: tuple[int, Exposed], right: str, named: str
) -> None:
    """Not ready, one clear line, nothing consumed until the right is back; then all continue."""
    number, probe = port
    process = start_as_role(start, stage, number)
    await stage.until(await stage.send(STATUS), "completed")
    await eventually(probe.is_ready)

    await stage.database.execute(f"REVOKE {right} FROM ringback_processor")
    job_id = await stage.send(STATUS)

    await eventually(lambda: probe.is_unready_for("database"))
    await stage.until_waiting(WORK_QUEUE, 1)
    [line] = process.lines("database.setup_incomplete")
    assert named in str(line["missing"])
    assert not await stage.attempts(job_id)
    await stage.database.execute(f"GRANT {right} TO ringback_processor")
    row = await stage.until(job_id, "completed")
    assert row["attempts"] == 1
    await eventually(probe.is_ready)


async def test_one_that_may_not_ask_for_a_pause_takes_nothing(
    stage: Stage, start: Starter, port: tuple[int, Exposed]
) -> None:
    """It cannot read it, so it is not ready, and names the right that is missing."""
    number, probe = port
    await stage.database.execute("REVOKE SELECT ON webhook_processing FROM ringback_processor")

    process = start_as_role(start, stage, number)

    await eventually(lambda: probe.is_unready_for("pause"))
    await eventually(lambda: process.lines("pause.unknown"))
    job_id = await stage.send(HANG)
    await stage.until_waiting(WORK_QUEUE, 1)
    assert "webhook_processing" in str(process.lines("pause.unknown")[0]["detail"])
    await stage.database.execute("GRANT SELECT ON webhook_processing TO ringback_processor")
    await stage.until(job_id, "completed")
    await eventually(probe.is_ready)


async def test_a_database_that_was_not_migrated_is_named(
    stage: Stage, start: Starter, port: tuple[int, Exposed]
) -> None:
    """As above: the services of a version may start before its migrations ran."""
    number, probe = port
    await stage.database.execute("ALTER FUNCTION begin_webhook_attempts RENAME TO not_yet")

    process = start_as_role(start, stage, number)

    await eventually(lambda: probe.is_unready_for("database"))
    await eventually(lambda: process.lines("database.setup_incomplete"))
    assert "begin_webhook_attempts" in str(process.lines("database.setup_incomplete")[0]["missing"])
    assert "ringback migrate" in str(process.lines("database.setup_incomplete")[0]["remedy"])
    await stage.database.execute("ALTER FUNCTION not_yet RENAME TO begin_webhook_attempts")
    await eventually(probe.is_ready)
