"""A dead letter is retried once, by an authorized caller, with all its data."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.envelope import without_broker_headers
from ringback.contract.identity import new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    RETRY_STATE_QUEUED,
    RetryDeliveryResponse,
)
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import OURS, TENANT, RetryStage, retry_stage
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import scripted
from tests.support.eventually import eventually

FAILS_ALWAYS = scripted("plain", fail_times=99)


@pytest.mark.usefixtures("processor")
async def test_a_retry_is_processed_and_both_rows_name_each_other(retrying: RetryStage) -> None:
    """The original is resolved, the claim is handed over, and the new webhook is run and done."""
    original = await retrying.bury()

    answer = await retrying.retry(original, TENANT, reason="Fixed.")

    assert answer.success
    assert answer.message == "Webhook re-queued for processing"
    assert answer.state == RETRY_STATE_PUBLISHED
    new_id = UUID(answer.new_job_id)
    done = await retrying.stage.until(new_id, "completed")
    assert (done["retry_of"], done["attempts"], done["max_attempts"]) == (original, 1, 3)
    before = await retrying.row(original)
    assert (before["retried_as"], before["resolution"]) == (new_id, "retried")
    assert before["resolved_at"] is not None
    assert before["gateway_instance_id"] == done["gateway_instance_id"]
    assert await retrying.owner(before["dedup_key"]) == new_id
    assert len(await retrying.stage.runs(new_id)) == 1
    [retry] = await retrying.retries()
    assert (retry["actor"], retry["role"], retry["reason"]) == ("grace", "tenant", "Fixed.")
    assert retry["published_at"] is not None
    [line] = await retrying.audit()
    assert (line["action"], line["actor"], line["org_id"]) == ("retry", "grace", OURS)
    assert (line["job_id"], line["reason"]) == (original, "Fixed.")


@pytest.mark.usefixtures("processor")
async def test_a_retry_follows_the_schedule_of_its_endpoint(retrying: RetryStage) -> None:
    """As the webhook did that it retries; also the retry of a retry."""
    schedule = RetrySchedule.parse("50ms")
    job_id: UUID = await retrying.stage.send(FAILS_ALWAYS, retry_schedule=schedule)
    for _ in range(2):
        await retrying.stage.until(job_id, "dead_letter", deadline_s=60)
        job_id = UUID((await retrying.retry(job_id)).new_job_id)
        row = await retrying.row(job_id)
        assert row["max_attempts"] == 2

    row = await retrying.stage.until(job_id, "dead_letter", deadline_s=60)

    assert (row["attempts"], row["max_attempts"]) == (2, 2)


@pytest.mark.usefixtures("processor")
async def test_a_run_of_a_duplicate_follows_the_schedule_of_its_endpoint(
    retrying: RetryStage,
) -> None:
    """The message of a replay is made in the same way."""
    schedule, key = RetrySchedule.parse("50ms"), "report-1"
    for status in ("dead_letter", "duplicate"):
        copy = await retrying.stage.send(FAILS_ALWAYS, retry_schedule=schedule, dedup_key=key)
        await retrying.stage.until(copy, status, deadline_s=60)

    new_id = UUID((await retrying.run_duplicate(copy)).new_job_id)

    row = await retrying.stage.until(new_id, "dead_letter", deadline_s=60)
    assert (row["attempts"], row["max_attempts"]) == (2, 2)


@pytest.mark.usefixtures("processor")
async def test_a_retry_takes_the_claim_if_nobody_else_has_it(retrying: RetryStage) -> None:
    """An event without a key claims nothing.

    If another webhook claimed the event since, it carried it, and the retry runs nothing.
    """
    keyless = await retrying.bury(dedup_key=None)
    answer = await retrying.retry(keyless)
    done = await retrying.stage.until(UUID(answer.new_job_id), "completed")
    assert (done["dedup_key"], done["retry_of"]) == (None, keyless)
    assert await retrying.database.fetchval("SELECT count(*) FROM webhook_inbox") == 0

    taken, other = await retrying.bury(dedup_key="taken"), new_job_id()
    await retrying.database.execute(
        "UPDATE webhook_inbox SET delivery_id = $1 WHERE dedup_key = 'taken'", other
    )
    answer = await retrying.retry(taken)
    row = await retrying.stage.until(UUID(answer.new_job_id), "duplicate")
    assert row["duplicate_of"] == other


async def test_the_message_is_as_a_gateway_would_publish_it(retrying: RetryStage) -> None:
    """The same event under a new id, with the original's receive time and its own trace."""
    original = await retrying.bury()
    row = await retrying.row(original)

    answer = await retrying.retry(original)

    queue = await retrying.stage.channel.get_queue(WORK_QUEUE)
    message = await queue.get(no_ack=True, timeout=60)
    assert message.body.decode() == await retrying.database.fetchval(
        "SELECT event_data::text FROM webhook_delivery_log WHERE id = $1", original
    )
    assert (message.message_id, message.type) == (answer.new_job_id, "test.plain")
    assert (message.content_type, message.delivery_mode) == ("application/json", 2)
    assert message.routing_key == "attempt.1"
    headers = without_broker_headers(message.headers)
    assert headers.pop("traceparent")
    assert headers == {
        "org_id": str(OURS),
        "endpoint_id": "default",
        "dedup_key": row["dedup_key"],
        "received_at": row["created_at"].isoformat(timespec="milliseconds"),
        "gateway_instance_id": str(row["gateway_instance_id"]),
        "retry_of": str(original),
    }


async def test_concurrent_or_repeated_requests_make_one_retry(retrying: RetryStage) -> None:
    """One is answered with it, the others get an error that names it.

    A call whose answer was lost is repeated with its id; another id is another request.
    """
    original = await retrying.bury()

    answers = await asyncio.gather(
        *(retrying.retry(original) for _ in range(8)), return_exceptions=True
    )

    made = [answer for answer in answers if isinstance(answer, RetryDeliveryResponse)]
    errors = [answer for answer in answers if isinstance(answer, ApiError)]
    assert (len(made), len(errors)) == (1, 7)
    assert {error.metadata["newJobId"] for error in errors} == {made[0].new_job_id}
    assert len(await retrying.retries()) == len(await retrying.audit()) == 1
    assert await retrying.waiting() == 1

    other, request_id = await retrying.bury(), str(uuid4())
    first = await retrying.retry(other, request_id=request_id)
    second = await retrying.retry(other, request_id=request_id)
    error = await retrying.rejection_of(retrying.retry(other, request_id=str(uuid4())))

    assert first == second
    assert error.reason == "ALREADY_RETRIED"
    assert await retrying.waiting() == len(await retrying.audit()) == 2


@pytest.mark.slow
async def test_a_blocked_broker_rejects_before_any_change(
    own_broker: PrivateBroker, own_amqp_url: str, database_url: str
) -> None:
    """A broker that is short of memory is connected and blocked: that is unavailable, too."""
    place = Place(own_amqp_url, database_url)
    await place.prepare()

    async def set_watermark(share: str) -> None:
        await own_broker.control("set_vm_memory_high_watermark", share)

    async with (
        FaultProxy(own_broker.ports.amqp) as proxy,
        retry_stage(place, proxy, publish_timeout_s=0.5) as retrying,
    ):
        first, second = await retrying.bury(), await retrying.bury()
        await set_watermark("0.00001")
        # The broker blocks only publishers: the first one cannot know.
        assert (await retrying.retry(first)).state == RETRY_STATE_QUEUED

        async def is_known() -> bool:
            # A busy broker may not have told it: a connection that it replaced must publish, too.
            with suppress(ApiError):
                await retrying.retry(await retrying.bury())
            return not retrying.outbox.is_ready

        await eventually(is_known)

        error = await retrying.rejection_of(retrying.retry(second))

        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE")
        await set_watermark("0.9")
        await retrying.until_open()
        assert (await retrying.retry(second)).success


async def test_a_pruned_claim_is_created_again(retrying: RetryStage) -> None:
    """So that a copy of the event that arrives meanwhile is a duplicate of the retry."""
    pruned = await retrying.bury(dedup_key="k")
    await retrying.database.execute("DELETE FROM webhook_inbox")

    answer = await retrying.retry(pruned)

    assert await retrying.owner("k") == UUID(answer.new_job_id)


async def test_an_unconfirmed_publish_is_answered_as_queued(
    place: Place, proxy: FaultProxy, start: Starter
) -> None:
    """The sweeper publishes it under its id, and it is processed once."""
    async with retry_stage(place, proxy, publish_timeout_s=0.5) as retrying:
        original = await retrying.bury()
        proxy.withhold()

        answer = await retrying.retry(original)

        assert answer.success
        assert answer.state == RETRY_STATE_QUEUED
        assert answer.message.startswith("Webhook re-queued for processing;")
        proxy.cut()
        proxy.release()
        await retrying.until_open()
        assert await retrying.waiting() == 0

        async def is_swept() -> bool:
            await retrying.sweeper().sweep()
            [retry] = await retrying.retries()
            return retry["published_at"] is not None

        await eventually(is_swept)
        start(place)
        await retrying.stage.until(UUID(answer.new_job_id), "completed")
        assert len(await retrying.stage.runs(UUID(answer.new_job_id))) == 1


async def test_a_publish_continues_without_its_caller(retrying: RetryStage) -> None:
    """The publish continues, and is recorded."""
    original = await retrying.bury()
    retrying.proxy.withhold()
    leaving = asyncio.create_task(retrying.retry(original))

    async def is_committed() -> list[asyncpg.Record]:
        return await retrying.retries()

    def is_publishing() -> bool:
        coroutines = [task.get_coro() for task in asyncio.all_tasks()]
        return any("publish_and_mark" in repr(one) for one in coroutines)

    await eventually(is_committed)
    # The row is visible a moment before.
    await eventually(is_publishing)
    leaving.cancel()
    await asyncio.wait({leaving})
    retrying.proxy.release()

    async def is_marked() -> bool:
        [retry] = await retrying.retries()
        return retry["published_at"] is not None

    await eventually(is_marked)
    assert await retrying.waiting() == 1
