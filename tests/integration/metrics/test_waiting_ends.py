"""What becomes of a webhook that is released or cancelled, with a processor."""

from uuid import UUID

from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import CancelWaitingRequest, ReleaseWaitingRequest
from ringback.services.metrics.commands.waiting import WaitCommands
from tests.integration.metrics.retry_stage import OURS, WORKS, RetryStage
from tests.integration.metrics.waiting_rows import add_wait, wait_row
from tests.integration.processor.place import ProcessorProcess


async def cancel(retrying: RetryStage, job_id: UUID) -> UUID:
    """Returns the retry of what became a dead letter."""
    request = CancelWaitingRequest(job_id=str(job_id), reason="Not needed.")
    await WaitCommands(retrying.access).cancel_waiting(request, retrying.call())
    await retrying.stage.until(job_id, "dead_letter")
    return UUID((await retrying.retry(job_id)).new_job_id)


async def test_cancelled_webhooks_are_dead_letters_that_can_be_retried(
    retrying: RetryStage, processor: ProcessorProcess
) -> None:
    """They run no more, and their error says who cancelled them and why. The retries run.

    The processor stores the event of one that was never attempted.
    """
    database = retrying.database
    failed = await retrying.bury(WORKS, status="failed")
    await add_wait(database, OURS, job_id=failed, event=WORKS, attempt=5)
    new = await add_wait(database, OURS, event=WORKS, attempt=1, reason="destination", due_in_s=600)
    await processor.ready()

    retries = [await cancel(retrying, job_id) for job_id in (failed, new)]
    for job_id in retries:
        await retrying.stage.until(job_id, "completed")

    row = await retrying.row(failed)
    assert (row["error_class"], row["attempts"]) == ("cancelled", 4)
    assert row["error_message"] == "Cancelled by ada: Not needed."
    assert await retrying.stage.runs(failed) == []
    assert await wait_row(database, failed) is None
    line, _ = processor.lines("dead_letter.recorded")
    assert (line["job_id"], line["error_class"]) == (str(failed), "cancelled")


async def test_a_released_webhook_is_attempted_now(
    retrying: RetryStage, processor: ProcessorProcess
) -> None:
    """As the attempt that was due in an hour; another webhook still waits."""
    failed, other = await retrying.bury(WORKS, status="failed"), new_job_id()
    await add_wait(retrying.database, OURS, job_id=failed, event=WORKS, attempt=2)
    await add_wait(retrying.database, OURS, job_id=other, event=WORKS, attempt=2)
    await processor.ready()

    request = ReleaseWaitingRequest(job_id=str(failed), reason="It is back.")
    await WaitCommands(retrying.access).release_waiting(request, retrying.call())
    await retrying.stage.until(failed, "completed")

    assert [row["attempt"] for row in await retrying.stage.attempts(failed)] == [2]
    assert len(await retrying.stage.runs(failed)) == 1
    assert await wait_row(retrying.database, failed) is None
    assert await wait_row(retrying.database, other) is not None
