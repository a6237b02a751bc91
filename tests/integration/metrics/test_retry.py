"""A dead letter is retried once, by an authorized caller, with all its data."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.envelope import without_broker_headers
from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    RETRY_STATE_QUEUED,
    RetryDeliveryResponse,
)
from services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import FAILS, OURS, TENANT, RetryStage, retry_stage
from tests.integration.processor.place import Place, ProcessorProcess
from tests.support.eventually import eventually


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
async def test_an_event_without_a_key_is_retried(retrying: RetryStage) -> None:
    """It claims nothing, neither for the original nor for the retry, and no copy can block it."""
    original = await retrying.bury(dedup_key=None)

    answer = await retrying.retry(original)

    done = await retrying.stage.until(UUID(answer.new_job_id), "completed")
    assert (done["dedup_key"], done["retry_of"]) == (None, original)
    assert await retrying.database.fetchval("SELECT count(*) FROM webhook_inbox") == 0


async def test_the_message_is_as_a_gateway_would_publish_it(retrying: RetryStage) -> None:
    """The same event under a new id, with the original's receive time and its own trace."""
    original = await retrying.bury()
    row = await retrying.row(original)

    answer = await retrying.retry(original)

    queue = await retrying.stage.channel.get_queue(WORK_QUEUE)
    message = await queue.get(no_ack=True)
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


async def test_concurrent_requests_make_one_retry(retrying: RetryStage) -> None:
    """One is answered with it, the others get an error that names it."""
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


async def test_the_same_request_gets_the_same_answer(retrying: RetryStage) -> None:
    """A call whose answer was lost is repeated with its id; another id is another request."""
    original = await retrying.bury()
    request_id = str(uuid4())

    first = await retrying.retry(original, request_id=request_id)
    second = await retrying.retry(original, request_id=request_id)
    error = await retrying.rejection_of(retrying.retry(original, request_id=str(uuid4())))

    assert first == second
    assert error.reason == "ALREADY_RETRIED"
    assert await retrying.waiting() == len(await retrying.audit()) == 1


@pytest.mark.usefixtures("processor")
async def test_a_retry_of_a_retry_works(retrying: RetryStage) -> None:
    """Each dead letter is retried once; the last one has the event's first receive time."""
    original = await retrying.bury(FAILS, altered=True)

    first = await retrying.retry(original)
    await retrying.stage.until(UUID(first.new_job_id), "dead_letter")
    second = await retrying.retry(first.new_job_id)
    last = await retrying.stage.until(UUID(second.new_job_id), "dead_letter")

    assert first.altered
    assert second.altered
    assert last["altered"]
    assert last["retry_of"] == UUID(first.new_job_id)
    arrived = (await retrying.row(original))["created_at"]
    assert [retry["received_at"] for retry in await retrying.retries()] == [arrived, arrived]


async def test_an_unavailable_broker_rejects_before_any_change(retrying: RetryStage) -> None:
    """UNAVAILABLE, nothing is changed, and it works when the broker is back."""
    original = await retrying.bury()
    retrying.proxy.refuse()
    await eventually(lambda: not retrying.outbox.is_ready)

    error = await retrying.rejection_of(retrying.retry(original))

    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE")
    retrying.proxy.accept()
    await retrying.until_open()
    assert (await retrying.retry(original)).state == RETRY_STATE_PUBLISHED


async def test_a_blocked_broker_rejects_before_any_change(
    own_broker: PrivateBroker, database_url: str
) -> None:
    """A broker that is short of memory is connected and blocked: that is unavailable, too."""
    place = Place(own_broker.amqp_url(), database_url)
    await place.prepare()

    async def set_watermark(share: str) -> None:
        await own_broker.control("set_vm_memory_high_watermark", share)

    async with FaultProxy(own_broker.ports.amqp) as proxy, retry_stage(place, proxy) as retrying:
        first, second = await retrying.bury(), await retrying.bury()
        await set_watermark("0.00001")
        # The broker blocks only publishers: the first one cannot know.
        assert (await retrying.retry(first)).state == RETRY_STATE_QUEUED

        error = await retrying.rejection_of(retrying.retry(second))

        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE")
        await set_watermark("0.9")
        await retrying.until_open()
        assert (await retrying.retry(second)).state == RETRY_STATE_PUBLISHED


async def test_an_unconfirmed_publish_is_answered_as_queued(
    retrying: RetryStage, start_processor: Callable[[], ProcessorProcess]
) -> None:
    """The sweeper publishes it under its id, and it is processed once."""
    original = await retrying.bury()
    retrying.proxy.withhold()

    answer = await retrying.retry(original)

    assert answer.success
    assert answer.state == RETRY_STATE_QUEUED
    assert answer.message.startswith("Webhook re-queued for processing;")
    retrying.proxy.cut()
    retrying.proxy.release()
    await retrying.until_open()
    assert await retrying.waiting() == 0
    await retrying.sweeper().sweep()
    [retry] = await retrying.retries()
    assert retry["published_at"] is not None
    start_processor()
    await retrying.stage.until(UUID(answer.new_job_id), "completed")
    assert len(await retrying.stage.runs(UUID(answer.new_job_id))) == 1


async def test_a_pruned_claim_is_created_again(retrying: RetryStage) -> None:
    """So that a copy of the event that arrives meanwhile is a duplicate of the retry."""
    original = await retrying.bury()
    key = (await retrying.row(original))["dedup_key"]
    await retrying.database.execute("DELETE FROM webhook_inbox")

    answer = await retrying.retry(original)

    assert await retrying.owner(key) == UUID(answer.new_job_id)


@pytest.mark.usefixtures("processor")
async def test_a_claim_that_another_webhook_made_since_stays(retrying: RetryStage) -> None:
    """The other one carried the event, so the retry ends as its duplicate and runs nothing."""
    original, other = await retrying.bury(), new_job_id()
    await retrying.database.execute("UPDATE webhook_inbox SET delivery_id = $1", other)

    answer = await retrying.retry(original)

    row = await retrying.stage.until(UUID(answer.new_job_id), "duplicate")
    assert row["duplicate_of"] == other


async def test_a_publish_continues_without_its_caller(retrying: RetryStage) -> None:
    """The publish continues, and is recorded."""
    original = await retrying.bury()
    retrying.proxy.withhold()
    leaving = asyncio.create_task(retrying.retry(original))

    async def is_committed() -> list[asyncpg.Record]:
        return await retrying.retries()

    await eventually(is_committed)
    leaving.cancel()
    await asyncio.wait({leaving})
    retrying.proxy.release()

    async def is_marked() -> bool:
        [retry] = await retrying.retries()
        return retry["published_at"] is not None

    await eventually(is_marked)
    assert await retrying.waiting() == 1
