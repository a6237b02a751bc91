"""Commands besides retries: discard, run a duplicate, pause; and when each is rejected."""

import asyncio
from typing import Any
from uuid import UUID

import grpc
import pytest

from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    PauseProcessingRequest,
    ResumeProcessingRequest,
    RunDuplicateResponse,
)
from services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import FAILS, OURS, TENANT, WORKS, RetryStage
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import scripted
from tests.support.eventually import eventually

KEY = "tool-calls:call_0"
NOBODY = UUID(int=0)
UNREADABLE = {"unreadable_base64": "AA=="}


def with_status(*statuses: str) -> list[dict[str, Any]]:
    return [{"status": status} for status in statuses]


@pytest.mark.parametrize(
    ("command", "reason", "webhooks"),
    [
        (
            "retry",
            "NOT_A_DEAD_LETTER",
            with_status("pending", "processing", "completed", "failed", "duplicate"),
        ),
        ("discard", "NOT_A_DEAD_LETTER", with_status("failed", "duplicate")),
        (
            "run_duplicate",
            "NOT_A_DUPLICATE",
            with_status("pending", "processing", "completed", "failed", "dead_letter"),
        ),
        (
            "retry",
            "NOT_RETRYABLE",
            [
                {"org_id": NOBODY},
                {"gateway_instance_id": None},
                {"event": UNREADABLE},
                {"event": {}},
            ],
        ),
    ],
)
async def test_a_command_for_another_kind_of_webhook_is_rejected(
    retrying: RetryStage, command: str, reason: str, webhooks: list[dict[str, Any]]
) -> None:
    """It is still being processed, is finished, or has no valid event; nothing changes."""
    for changes in webhooks:
        job_id = await retrying.bury(**changes)

        error = await retrying.rejection_of(getattr(retrying, command)(job_id))

        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason), changes


async def test_a_discarded_dead_letter_is_resolved_and_audited(retrying: RetryStage) -> None:
    """With who did it and why; its event and its claim are unchanged."""
    letter = await retrying.bury()
    before = await retrying.row(letter)

    answer = await retrying.discard(letter, TENANT, " A test call. ")

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
    """Discarding needs no event and no organisation."""
    letter = await retrying.bury(UNREADABLE, org_id=NOBODY)

    assert (await retrying.discard(letter)).success


async def test_a_decision_is_final(retrying: RetryStage) -> None:
    """A discarded one is neither retried nor discarded again, a retried one is not discarded."""
    discarded, retried = await retrying.bury(), await retrying.bury()
    await retrying.discard(discarded)
    new_id = (await retrying.retry(retried)).new_job_id

    again = await retrying.rejection_of(retrying.discard(discarded))
    retry = await retrying.rejection_of(retrying.retry(discarded))
    too_late = await retrying.rejection_of(retrying.discard(retried))

    assert again.reason == retry.reason == "DISCARDED"
    assert (too_late.reason, too_late.metadata) == ("ALREADY_RETRIED", {"newJobId": new_id})
    assert again.code == too_late.code == grpc.StatusCode.FAILED_PRECONDITION


async def test_retried_and_discarded_at_once_it_is_one_of_them(retrying: RetryStage) -> None:
    """The first one wins; the other gets an error."""
    for _ in range(5):
        letter = await retrying.bury()

        answers = await asyncio.gather(
            retrying.discard(letter), retrying.retry(letter), return_exceptions=True
        )

        [error] = [answer for answer in answers if isinstance(answer, ApiError)]
        assert error.reason in {"DISCARDED", "ALREADY_RETRIED"}
        resolution = (await retrying.row(letter))["resolution"]
        assert (resolution == "discarded") == (error.reason == "DISCARDED")


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


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_a_wrong_duplicate_is_run_and_both_rows_name_each_other(
    retrying: RetryStage, kind: str
) -> None:
    """With every kind of handler. The first webhook keeps its claim and is not changed."""
    event, swallowed = scripted(kind), new_job_id()
    first = await retrying.stage.send(event, org_id=OURS, dedup_key=KEY)
    before = dict(await retrying.stage.until(first, "completed"))
    # The gateway writes no payload; the processor stores it with the verdict.
    await retrying.database.execute(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,"
        " max_attempts, created_at, dedup_key, gateway_instance_id) VALUES"
        " ($1, $2, 'default', 'test.plain', '{}', 'pending', 3, webhook_created_at($1), $3, $1)",
        swallowed, OURS, KEY,
    )  # fmt: skip
    await retrying.stage.send(event, job_id=swallowed, org_id=OURS, dedup_key=KEY)
    await retrying.stage.until(swallowed, "duplicate")

    answer = await retrying.run_duplicate(swallowed, TENANT)

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


async def test_concurrent_runs_of_a_duplicate_make_one(retrying: RetryStage) -> None:
    """The others are answered with the first run; the duplicate never becomes a dead letter."""
    swallowed = await duplicate(retrying)

    answers = await asyncio.gather(
        *(retrying.run_duplicate(swallowed) for _ in range(6)), return_exceptions=True
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
    for command in (retrying.retry, retrying.discard):
        assert (await retrying.rejection_of(command(swallowed))).reason == "NOT_A_DEAD_LETTER"


@pytest.mark.usefixtures("processor")
async def test_a_run_that_fails_becomes_a_dead_letter_that_can_be_retried(
    retrying: RetryStage,
) -> None:
    """The retry has no claim either, so it is no duplicate."""
    swallowed = await duplicate(retrying, event=FAILS)
    answer = await retrying.run_duplicate(swallowed)
    await retrying.stage.until(UUID(answer.new_job_id), "dead_letter")

    again = await retrying.retry(answer.new_job_id)

    await retrying.stage.until(UUID(again.new_job_id), "dead_letter")
    arrived = (await retrying.row(swallowed))["created_at"]
    assert [retry["received_at"] for retry in await retrying.retries()] == [arrived, arrived]


async def test_a_paused_processor_takes_nothing_until_it_is_resumed(
    retrying: RetryStage, processor: ProcessorProcess
) -> None:
    """The answers show who paused it and why, and how many processors have noticed."""
    await processor.ready()

    async def pause() -> Any:
        request = PauseProcessingRequest(reason="Deploying.")
        return (await retrying.api.pause_processing(request, retrying.call())).processing

    paused = await pause()

    assert (paused.paused, paused.changed_by, paused.reason) == (True, "ada", "Deploying.")
    assert paused.HasField("changed_at")

    async def has_noticed() -> bool:
        state = await pause()
        return (state.processors, state.processors_paused) == (1, 1)

    await eventually(has_noticed)
    job_id = await retrying.stage.send(WORKS)
    await retrying.stage.until_waiting("webhooks.work", 1)
    resume = ResumeProcessingRequest(reason="Deployed.")
    resumed = (await retrying.api.resume_processing(resume, retrying.call())).processing
    assert (resumed.paused, resumed.reason) == (False, "Deployed.")
    await retrying.stage.until(job_id, "completed")
    lines = [(line["action"], line["actor"], line["role"]) for line in await retrying.audit()]
    assert lines == [("pause", "ada", "service"), ("resume", "ada", "service")]
