"""A discarded dead letter is resolved, and stays in the log."""

import asyncio
from uuid import UUID

import grpc
import pytest

from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
    RetryDeliveryRequest,
)
from services.metrics.api.errors import ApiError
from services.metrics.api.principal import Principal
from tests.integration.metrics.retry_stage import (
    OURS,
    SERVICE,
    STRANGER,
    TENANT,
    RetryStage,
    place,
    proxy,
    retrying,
)

__all__ = ["place", "proxy", "retrying"]  # fixtures


async def discard(
    retrying: RetryStage, job_id: UUID, principal: Principal = SERVICE, reason: str = "Old."
) -> DiscardDeadLetterResponse:
    request = DiscardDeadLetterRequest(job_id=str(job_id), reason=reason)
    return await retrying.api.discard_dead_letter(request, retrying.call(principal))


async def refused(
    retrying: RetryStage, job_id: UUID, principal: Principal = SERVICE, reason: str = "Old."
) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await discard(retrying, job_id, principal, reason)
    return caught.value


async def retry(retrying: RetryStage, job_id: UUID) -> str:
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


async def test_also_what_could_not_be_retried(retrying: RetryStage) -> None:
    """Discarding does not need the broker."""
    letter = await retrying.bury({"unreadable_base64": "AA=="}, org_id=UUID(int=0))

    assert (await discard(retrying, letter)).success


async def test_what_is_decided_stays_so(retrying: RetryStage) -> None:
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


async def test_what_is_not_dead_is_not_discarded(retrying: RetryStage) -> None:
    """Its attempts continue."""
    assert (await refused(retrying, await retrying.bury(status="failed"))).reason == (
        "NOT_A_DEAD_LETTER"
    )


async def test_another_organisation_s_is_not_there(retrying: RetryStage) -> None:
    """Like one that never existed."""
    letter, missing = await retrying.bury(), new_job_id()

    hidden = await refused(retrying, letter, STRANGER)
    absent = await refused(retrying, missing, STRANGER)

    assert hidden.code == absent.code == grpc.StatusCode.NOT_FOUND
    assert str(hidden).replace(str(letter), str(missing)) == str(absent)
    assert (await retrying.row(letter))["resolution"] is None


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
async def test_it_needs_a_reason_of_some_length(retrying: RetryStage, reason: str) -> None:
    """For later readers."""
    error = await refused(retrying, await retrying.bury(), reason=reason)

    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["reason"]
