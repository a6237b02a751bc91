"""A discarded dead letter is resolved, and stays in the log."""

import asyncio
from typing import Any
from uuid import UUID

import grpc
import pytest

from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    RetryDeliveryRequest,
)
from services.metrics.auth.principal import Principal
from services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import (
    OURS,
    SERVICE,
    TENANT,
    RetryStage,
    place,
    proxy,
    retrying,
)

__all__ = ["place", "proxy", "retrying"]  # fixtures


async def discard(
    retrying: RetryStage, job_id: UUID, principal: Principal = SERVICE, reason: str = "Old."
) -> Any:
    request = DiscardDeadLetterRequest(job_id=str(job_id), reason=reason)
    return await retrying.api.discard_dead_letter(request, retrying.call(principal))


async def refused(
    retrying: RetryStage, job_id: UUID, principal: Principal = SERVICE, reason: str = "Old."
) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await discard(retrying, job_id, principal, reason)
    return caught.value


async def retry(retrying: RetryStage, job_id: UUID) -> Any:
    request = RetryDeliveryRequest(job_id=str(job_id))
    return (await retrying.api.retry_delivery(request, retrying.call())).new_job_id


async def test_it_is_resolved_and_audited(retrying: RetryStage) -> None:
    """With who did it and why; its event and its claim are unchanged."""
    letter = await retrying.bury()
    before = await retrying.row(letter)

    answer = await discard(retrying, letter, TENANT, " A test call. ")

    assert answer.success
    row = await retrying.row(letter)
    assert (row["resolution"], row["status"]) == ("discarded", "dead_letter")
    assert row["resolved_at"] is not None
    assert row["event_data"] == before["event_data"]
    assert await retrying.owner(row["dedup_key"]) == letter
    [line] = await retrying.audit()
    assert (line["action"], line["actor"], line["org_id"]) == ("discard", "grace", OURS)
    assert (line["job_id"], line["reason"]) == (letter, "A test call.")


async def test_a_webhook_that_cannot_be_retried_can_be_discarded(retrying: RetryStage) -> None:
    """Discarding does not need the broker."""
    letter = await retrying.bury({"unreadable_base64": "AA=="}, org_id=UUID(int=0))

    assert (await discard(retrying, letter)).success


async def test_a_decision_is_final(retrying: RetryStage) -> None:
    """A discarded one is neither retried nor discarded again, a retried one is not discarded."""
    gone, back = await retrying.bury(), await retrying.bury()
    await discard(retrying, gone)
    new_id = await retry(retrying, back)
    before = await retrying.snapshot()

    again = await refused(retrying, gone)
    with pytest.raises(ApiError) as caught:
        await retry(retrying, gone)
    too_late = await refused(retrying, back)

    assert again.reason == caught.value.reason == "DISCARDED"
    assert (too_late.reason, too_late.metadata) == ("ALREADY_RETRIED", {"newJobId": new_id})
    assert again.code == too_late.code == grpc.StatusCode.FAILED_PRECONDITION
    assert await retrying.snapshot() == before


async def test_retried_and_discarded_at_once_it_is_one_of_them(retrying: RetryStage) -> None:
    """The first one wins; the other gets an error."""
    for _ in range(5):
        letter = await retrying.bury()

        ends = await asyncio.gather(
            discard(retrying, letter), retry(retrying, letter), return_exceptions=True
        )

        [error] = [end for end in ends if isinstance(end, ApiError)]
        assert error.reason in {"DISCARDED", "ALREADY_RETRIED"}
        resolution = (await retrying.row(letter))["resolution"]
        assert (resolution == "discarded") == (error.reason == "DISCARDED")
