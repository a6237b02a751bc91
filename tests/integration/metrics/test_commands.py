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
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.retry_stage import FAILS, OURS, TENANT, WORKS, RetryStage
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import scripted
from tests.support.eventually import eventually

KEY = "tool-calls:call_0"
NOBODY = UUID(int=0)
UNREADABLE = {"unreadable_base64": "AA=="}


def with_status(*statuses: str) -> list[dict[str, Any]]:
    return [{"status": status} for status in statuses]


#: A command, its error, and the webhooks for which it is no command.
REJECTED: list[tuple[str, str, list[dict[str, Any]]]] = [
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
        [{"org_id": NOBODY}, {"gateway_instance_id": None}, {"event": UNREADABLE}, {"event": {}}],
    ),
]


async def test_a_command_for_another_kind_of_webhook_is_rejected(retrying: RetryStage) -> None:
    """It is still being processed, is finished, or has no valid event; nothing changes."""
    for command, reason, webhooks in REJECTED:
        for changes in webhooks:
            job_id = await retrying.bury(**changes)

            error = await retrying.rejection_of(getattr(retrying, command)(job_id))

            assert error.code is grpc.StatusCode.FAILED_PRECONDITION, (command, changes)
            assert error.reason == reason, (command, changes)


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


async def test_a_decision_is_final(retrying: RetryStage) -> None:
    """A discarded one is neither retried nor discarded again, a retried one is not discarded.

    Discarding needs no event and no organisation.
    """
    discarded, retried = await retrying.bury(UNREADABLE, org_id=NOBODY), await retrying.bury()
    assert (await retrying.discard(discarded)).success
    new_id = (await retrying.retry(retried)).new_job_id

    again = await retrying.rejection_of(retrying.discard(discarded))
    retry = await retrying.rejection_of(retrying.retry(discarded))
    too_late = await retrying.rejection_of(retrying.discard(retried))

    assert again.reason == retry.reason == "DISCARDED"
    assert (too_late.reason, too_late.metadata) == ("ALREADY_RETRIED", {"newJobId": new_id})
    assert again.code is grpc.StatusCode.FAILED_PRECONDITION
    assert too_late.code is grpc.StatusCode.ALREADY_EXISTS


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
async def test_a_wrong_duplicate_is_run_and_both_rows_name_each_other(retrying: RetryStage) -> None:
    """With every kind of handler. The first webhook keeps its claim and is not changed."""
    for kind in ("plain", "transaction"):
        event, swallowed = scripted(kind), new_job_id()
        first = await retrying.stage.send(event, org_id=OURS, dedup_key=kind)
        before = dict(await retrying.stage.until(first, "completed"))
        # The gateway writes no payload; the processor stores it with the verdict.
        await retrying.database.execute(
            "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data,"
            " status, max_attempts, created_at, dedup_key, gateway_instance_id) VALUES"
            " ($1, $2, 'default', 'test', '{}', 'pending', 3, webhook_created_at($1), $3, $1)",
            swallowed, OURS, kind,
        )  # fmt: skip
        await retrying.stage.send(event, job_id=swallowed, org_id=OURS, dedup_key=kind)
        await retrying.stage.until(swallowed, "duplicate")

        answer = await retrying.run_duplicate(swallowed, TENANT)

        assert answer.success
        assert answer.duplicate_of == str(first)
        assert answer.state == RETRY_STATE_PUBLISHED
        done = await retrying.stage.until(UUID(answer.new_job_id), "completed")
        assert (done["retry_of"], done["dedup_key"], done["duplicate_of"]) == (
            swallowed, None, None,
        )  # fmt: skip
        row = await retrying.row(swallowed)
        assert (row["status"], row["duplicate_of"]) == ("duplicate", first)
        assert (row["resolution"], row["retried_as"]) == ("retried", done["id"])
        assert await retrying.owner(kind) == first
        assert dict(await retrying.row(first)) == before
        *_, line = await retrying.audit()
        assert (line["action"], line["actor"], line["role"]) == (
            "run_duplicate", "grace", "tenant",
        )  # fmt: skip
        assert (line["job_id"], line["org_id"]) == (swallowed, OURS)
        assert line["reason"] == "Two bookings."
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
        (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_RETRIED")
    }
    assert {one.metadata["newJobId"] for one in errors} == {made.new_job_id}
    assert len(errors) == 5
    assert len(await retrying.retries()) == len(await retrying.audit()) == 1
    assert await retrying.waiting() == 1
    for command in (retrying.retry, retrying.discard):
        assert (await retrying.rejection_of(command(swallowed))).reason == "NOT_A_DEAD_LETTER"


@pytest.mark.usefixtures("processor")
async def test_a_retry_or_a_run_that_fails_can_be_retried(retrying: RetryStage) -> None:
    """Each has the event's first receive time, and its flags. A run has no claim, nor its retry."""
    letter = await retrying.bury(FAILS, altered=True)
    swallowed = await duplicate(retrying, event=FAILS, altered=True)
    for original, command in ((letter, retrying.retry), (swallowed, retrying.run_duplicate)):
        first = await command(original)
        await retrying.stage.until(UUID(first.new_job_id), "dead_letter")
        second = await retrying.retry(first.new_job_id)
        last = await retrying.stage.until(UUID(second.new_job_id), "dead_letter")

        assert first.altered
        assert second.altered
        assert last["altered"]
        assert last["retry_of"] == UUID(first.new_job_id)
        arrived = (await retrying.row(original))["created_at"]
        *_, before, newest = await retrying.retries()
        assert before["received_at"] == newest["received_at"] == arrived


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
