"""The processor works with the rights of its own role, and names a missing one."""

from collections.abc import AsyncIterator

import pytest

from ringback.contract.topology import WORK_QUEUE
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import Exposed, exposed
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import HANG, Stage, rows, set_paused
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


async def test_its_role_is_enough(stage: Stage, start: Starter, port: tuple[int, Exposed]) -> None:
    """Attempts, calls, dead letters, partitions, the pause and its own row."""
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
    assert "permission denied" not in process.output()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("take", "give", "named"),
    [
        (
            "REVOKE INSERT ON webhook_delivery_attempts FROM ringback_processor",
            "GRANT INSERT ON webhook_delivery_attempts TO ringback_processor",
            "webhook_delivery_attempts",
        ),
        (
            "REVOKE INSERT ON voice_calls FROM ringback_processor",
            "GRANT INSERT ON voice_calls TO ringback_processor",
            "voice_calls",
        ),
        # As if the migrations of this version had not been applied yet.
        (
            "ALTER FUNCTION finish_webhook_attempts RENAME TO not_yet",
            "ALTER FUNCTION not_yet RENAME TO finish_webhook_attempts",
            "finish_webhook_attempts",
        ),
    ],
)
async def test_a_missing_right_is_named_and_costs_no_attempt(
    stage: Stage, start: Starter, port: tuple[int, Exposed], take: str, give: str, named: str
) -> None:
    """Not ready, a clear line, nothing consumed until it is back; then all continue."""
    number, probe = port
    process = start_as_role(start, stage, number)
    await stage.until(await stage.send(STATUS), "completed")
    await eventually(probe.is_ready)

    await stage.database.execute(take)
    job_id = await stage.send(STATUS)

    await eventually(lambda: probe.is_unready_for("database"))
    await eventually(lambda: process.lines("database.setup_incomplete"))
    await stage.until_waiting(WORK_QUEUE, 1)
    lines = process.lines("database.setup_incomplete")
    # Two statements name a missing function in two ways.
    assert len({line["missing"] for line in lines}) <= 2
    assert all(named in str(line["missing"]) for line in lines)
    assert "ringback migrate" in str(lines[0]["remedy"])
    assert not await stage.attempts(job_id)
    await stage.database.execute(give)
    assert (await stage.until(job_id, "completed"))["attempts"] == 1
    await eventually(probe.is_ready)


async def test_a_right_that_is_needed_once_a_minute_is_missed_at_the_start(
    stage: Stage, start: Starter, port: tuple[int, Exposed]
) -> None:
    number, probe = port
    function = "FUNCTION record_webhook_forward_outcomes"
    await stage.database.execute(f"REVOKE EXECUTE ON {function} FROM ringback_processor")

    process = start_as_role(start, stage, number)

    lines = await eventually(lambda: process.lines("database.setup_incomplete"))
    assert "record_webhook_forward_outcomes" in str(lines[0]["missing"])
    await stage.database.execute(f"GRANT EXECUTE ON {function} TO ringback_processor")
    await eventually(probe.is_ready)


async def test_a_processor_that_cannot_read_the_pause_consumes_nothing(
    stage: Stage, start: Starter, port: tuple[int, Exposed]
) -> None:
    """It is not ready, and names the right that is missing."""
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


RULES = """
    ALTER TABLE voice_calls ADD CONSTRAINT not_refused CHECK (call_id <> 'not_refused');
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.call_id = 'This call' THEN RAISE EXCEPTION 'This call is refused.'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON voice_calls FOR EACH ROW EXECUTE FUNCTION refuse()
"""


async def test_a_rule_on_calls_fails_only_the_webhook_that_it_refuses(
    stage: Stage, start: Starter
) -> None:
    """By a constraint, or by a trigger."""
    await stage.database.execute(RULES)
    process = start(stage.place)
    sent = {
        call_id: await stage.send({"message": {**STATUS["message"], "call": {"id": call_id}}})
        for call_id in ("first", "not_refused", "This call", "last")
    }

    for call_id in ("first", "last"):
        assert (await stage.until(sent.pop(call_id), "completed"))["attempts"] == 1
    for call_id, job_id in sent.items():
        [attempt, *_] = await eventually(lambda job_id=job_id: stage.attempts(job_id))  # type: ignore[misc]
        assert attempt["error_class"] == "RowRefusedError"
        assert call_id in attempt["error_message"]
    assert not process.outages()


async def test_a_rule_on_the_log_keeps_only_the_webhook_that_it_refuses(
    stage: Stage, start: Starter
) -> None:
    """Nothing can record it, so that it waits without an attempt, until the rule is gone."""
    await stage.database.execute(
        "ALTER TABLE webhook_delivery_log ADD CONSTRAINT rule CHECK (call_id <> 'refused')"
    )
    process = start(stage.place)
    sent = [
        await stage.send({"message": {**STATUS["message"], "call": {"id": call_id}}})
        for call_id in ("first", "refused", "last")
    ]

    for job_id in (sent[0], sent[2]):
        assert (await stage.until(job_id, "completed"))["attempts"] == 1
    [line, *_] = await eventually(lambda: process.lines("message.requeued"))
    assert (line["job_id"], line["reason"]) == (str(sent[1]), "StatementRefusedError")
    await stage.database.execute("ALTER TABLE webhook_delivery_log DROP CONSTRAINT rule")

    assert (await stage.until(sent[1], "completed"))["attempts"] == 1
    assert not process.outages()
