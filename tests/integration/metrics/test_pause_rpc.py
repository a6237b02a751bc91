"""Processing is paused and resumed by a call; the real processor notices."""

from collections.abc import Callable
from typing import Any

from ringback.metrics.v1.admin_service_pb2 import PauseProcessingRequest, ResumeProcessingRequest
from tests.integration.metrics.retry_stage import (
    WORKS,
    RetryStage,
    place,
    proxy,
    retrying,
    start_processor,
)
from tests.integration.processor.place import ProcessorProcess
from tests.support.eventually import eventually

__all__ = ["place", "proxy", "retrying", "start_processor"]  # fixtures


async def pause(retrying: RetryStage, reason: str = "Deploying.") -> Any:
    request = PauseProcessingRequest(reason=reason)
    return (await retrying.api.pause_processing(request, retrying.call())).processing


async def resume(retrying: RetryStage, reason: str = "") -> Any:
    request = ResumeProcessingRequest(reason=reason)
    return (await retrying.api.resume_processing(request, retrying.call())).processing


async def test_a_paused_processor_takes_nothing_until_it_is_resumed(
    retrying: RetryStage, start_processor: Callable[[], ProcessorProcess]
) -> None:
    """The answers show who paused it and why, and how many processors have noticed."""
    await start_processor().ready()

    paused = await pause(retrying)

    assert (paused.paused, paused.changed_by, paused.reason) == (True, "ada", "Deploying.")
    assert paused.HasField("changed_at")

    async def has_noticed() -> bool:
        state = await pause(retrying)
        return (state.processors, state.processors_paused) == (1, 1)

    await eventually(has_noticed)
    job_id = await retrying.stage.send(WORKS)
    await retrying.stage.until_waiting("webhooks.work", 1)
    resumed = await resume(retrying, "Deployed.")
    assert (resumed.paused, resumed.reason) == (False, "Deployed.")
    await retrying.stage.until(job_id, "completed")


async def test_each_change_is_audited_once(retrying: RetryStage) -> None:
    """Pausing twice changes nothing, and the first reason stays."""
    await pause(retrying, "First.")
    again = await pause(retrying, "Second.")
    await resume(retrying)

    assert again.reason == "First."
    lines = await retrying.audit()
    assert [(line["action"], line["reason"]) for line in lines] == [
        ("pause", "First."),
        ("resume", None),
    ]
    assert {(line["actor"], line["role"], line["org_id"]) for line in lines} == {
        ("ada", "service", None)
    }
