"""A webhook wrongly taken for a copy is run after all: once, by authorized callers."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
import pytest

from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    DiscardDeadLetterRequest,
    RetryDeliveryRequest,
    RunDuplicateRequest,
    RunDuplicateResponse,
)
from services.metrics.auth.principal import Principal
from services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import (
    FAILS,
    OURS,
    SERVICE,
    TENANT,
    WORKS,
    RetryStage,
    place,
    proxy,
    retrying,
    start_processor,
)
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import scripted

__all__ = ["place", "proxy", "retrying", "start_processor"]  # fixtures

KEY = "tool-calls:call_0"


async def run(
    retrying: RetryStage, job_id: UUID | str, principal: Principal = SERVICE, **fields: str
) -> Any:
    request = RunDuplicateRequest(job_id=str(job_id), **{"reason": "Two bookings."} | fields)
    return await retrying.api.run_duplicate(request, retrying.call(principal))


async def refused(
    retrying: RetryStage, job_id: UUID | str, principal: Principal = SERVICE, **fields: str
) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await run(retrying, job_id, principal, **fields)
    return caught.value


async def duplicate(retrying: RetryStage, **changes: object) -> UUID:
    """A duplicate as the processor leaves it; the first webhook has the claim."""
    job_id, first = new_job_id(), new_job_id()
    values = {"status": "duplicate", "error_class": None, "dedup_key": None} | changes
    await retrying.bury(job_id=job_id, **values)  # type: ignore[arg-type]
    await retrying.database.execute(
        "UPDATE webhook_delivery_log SET duplicate_of = $2, dedup_key = $3, attempts = 1,"
        " error_message = NULL WHERE id = $1",
        job_id, first, KEY,
    )  # fmt: skip
    await retrying.database.execute(
        "INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        OURS, KEY, first,
    )  # fmt: skip
    return job_id


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_a_wrong_duplicate_is_run_and_both_rows_name_each_other(
    retrying: RetryStage, start_processor: Callable[[], ProcessorProcess], kind: str
) -> None:
    """By every kind of handler. The first webhook keeps its claim and is not changed."""
    start_processor()
    event = scripted(kind)
    first = await retrying.stage.send(event, org_id=OURS, dedup_key=KEY)
    before = dict(await retrying.stage.until(first, "completed"))
    swallowed = await retrying.stage.send(event, org_id=OURS, dedup_key=KEY)
    await retrying.stage.until(swallowed, "duplicate")

    answer = await run(retrying, swallowed, TENANT)

    assert answer.success
    assert answer.duplicate_of == str(first)
    assert answer.state == RETRY_STATE_PUBLISHED
    done = await retrying.stage.until(UUID(answer.new_job_id), "completed")
    assert (done["retry_of"], done["dedup_key"], done["duplicate_of"]) == (swallowed, None, None)
    row = await retrying.row(swallowed)
    assert (row["status"], row["duplicate_of"]) == ("duplicate", first)
    assert (row["resolution"], row["retried_as"]) == ("retried", done["id"])
    assert await retrying.owner(KEY) == first
    assert dict(await retrying.row(first)) == before
    [line] = await retrying.audit()
    assert (line["action"], line["actor"], line["role"]) == ("run_duplicate", "grace", "tenant")
    assert (line["job_id"], line["org_id"], line["reason"]) == (swallowed, OURS, "Two bookings.")
    assert str(first) in line["details"]


async def test_a_duplicate_of_a_busy_gateway_has_its_event(
    retrying: RetryStage, start_processor: Callable[[], ProcessorProcess]
) -> None:
    """Its pending row came without a payload; the processor stored it with the verdict."""
    job_id = new_job_id()
    await retrying.database.execute(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,"
        " max_attempts, created_at, dedup_key, gateway_instance_id) VALUES"
        " ($1, $2, 'default', 'test.plain', '{}', 'pending', 3, webhook_created_at($1), $3, $1)",
        job_id, OURS, KEY,
    )  # fmt: skip
    start_processor()
    first = await retrying.stage.send(WORKS, org_id=OURS, dedup_key=KEY)
    await retrying.stage.until(first, "completed")
    await retrying.stage.send(WORKS, job_id=job_id, org_id=OURS, dedup_key=KEY)
    await retrying.stage.until(job_id, "duplicate")

    answer = await run(retrying, job_id)

    await retrying.stage.until(UUID(answer.new_job_id), "completed")


async def test_concurrent_runs_of_a_duplicate_make_one(retrying: RetryStage) -> None:
    """The second request is answered with the first run, also when both come at once."""
    swallowed = await duplicate(retrying)

    answers = await asyncio.gather(
        *(run(retrying, swallowed) for _ in range(6)), return_exceptions=True
    )

    [made] = [answer for answer in answers if isinstance(answer, RunDuplicateResponse)]
    errors = [answer for answer in answers if isinstance(answer, ApiError)]
    assert {(one.code, one.reason) for one in errors} == {
        (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_RETRIED")
    }
    assert {one.metadata["newJobId"] for one in errors} == {made.new_job_id}
    assert len(errors) == 5
    assert len(await retrying.retries()) == len(await retrying.audit()) == 1
    assert await retrying.waiting() == 1


async def test_a_run_that_fails_becomes_a_dead_letter_that_can_be_retried(
    retrying: RetryStage, start_processor: Callable[[], ProcessorProcess]
) -> None:
    """The retry has no claim either, so it is no duplicate."""
    start_processor()
    swallowed = await duplicate(retrying, event=FAILS)
    answer = await run(retrying, swallowed)
    await retrying.stage.until(UUID(answer.new_job_id), "dead_letter")

    again = await retrying.api.retry_delivery(
        RetryDeliveryRequest(job_id=answer.new_job_id), retrying.call()
    )

    await retrying.stage.until(UUID(again.new_job_id), "dead_letter")
    arrived = (await retrying.row(swallowed))["created_at"]
    assert [retry["received_at"] for retry in await retrying.retries()] == [arrived, arrived]


@pytest.mark.parametrize("status", ["pending", "processing", "completed", "failed", "dead_letter"])
async def test_only_a_duplicate_can_be_run(retrying: RetryStage, status: str) -> None:
    """It runs, ran, or is retried as a dead letter."""
    job_id = await retrying.bury(status=status)
    before = await retrying.snapshot()

    error = await refused(retrying, job_id)

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_A_DUPLICATE")
    assert await retrying.snapshot() == before


async def test_a_duplicate_is_neither_retried_nor_discarded(retrying: RetryStage) -> None:
    """Also after it was run."""
    swallowed = await duplicate(retrying)
    for _ in range(2):
        with pytest.raises(ApiError, match="not a dead letter"):
            await retrying.api.retry_delivery(
                RetryDeliveryRequest(job_id=str(swallowed)), retrying.call()
            )
        with pytest.raises(ApiError, match="not a dead letter"):
            await retrying.api.discard_dead_letter(
                DiscardDeadLetterRequest(job_id=str(swallowed), reason="x"), retrying.call()
            )
        if not await retrying.retries():
            await run(retrying, swallowed)
