"""The pages of retry runs, with canned answers."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from ringback.metrics.v1 import admin_service_pb2 as pb
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.services.metrics.console.page import Redirect
from ringback.services.metrics.console.pages import runs
from ringback.services.metrics.transport.errors import ApiError
from ringback.services.metrics.transport.transcoding import read_body
from tests.unit.metrics.console.rendered import html, run

RUN = "01a22927-b278-4458-8b84-c3ca7e2090a1"
POSTED = re.compile(r"<bdi>POST /api/webhook-metrics/retry-runs ({.*})</bdi>")
HOSTILE = "<script>alert(1)</script>\u202e"


def shown_run(state: str, **more: Any) -> pb.RetryRun:
    number = pb.RetryRunState.Value(f"RETRY_RUN_STATE_{state}")
    return pb.RetryRun(
        run_id=RUN, state=number, matched=40, retried=7, actor=HOSTILE, reason=HOSTILE, **more
    )


async def test_a_preview_shows_what_a_run_would_do_and_fixes_its_times() -> None:
    """The form that begins the run has absolute times: those that the preview counted."""
    preview = pb.RetryRunPreview(matched=40, would_retry=40, message="40 would be retried.")
    preview.sample.append(Delivery(job_id=RUN, event_type=HOSTILE))
    preview.groups.add(event_type=HOSTILE, error_class="E", count=40)
    query = {"error": "TimeoutError", "since": "2h", "rate": "5"}

    result, [request] = await run(runs.new, pb.CreateRetryRunResponse(preview=preview), query=query)

    text = html(result)
    assert isinstance(request, pb.CreateRetryRunRequest)
    assert (request.dry_run, request.rate_per_second) == (True, 5)
    assert request.filter.error_class == "TimeoutError"
    assert 'value="2h"' in text
    assert 'name="since" value="20' in text
    assert text.index("Begin the run") < text.index("The oldest of them")
    assert "<script>alert" not in text
    assert "dead retry --detach --dry-run --error-class TimeoutError --since 20" in text
    [posted] = POSTED.findall(unescape(text))
    read_body(posted.encode(), read := pb.CreateRetryRunRequest())
    assert read == request


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"rate": "fast"}, "fast is not a number for rate."),
        ({"limit": "1" * 30}, "is not a number for limit."),
        ({"since": "yesterday"}, "yesterday is not a time."),
        ({"kind": "all"}, "There is no kind all."),
    ],
)
async def test_a_mistake_is_named_and_the_form_stays(query: dict[str, str], sentence: str) -> None:
    result, requests = await run(runs.new, query=query)

    text = html(result)
    assert sentence in text
    assert "Show what it would do" in text
    assert "Begin the run" not in text
    assert not requests


async def test_a_replay_without_its_type_is_a_question_and_no_error() -> None:
    result, requests = await run(runs.new, query={"kind": "completed", "since": "2h"})

    assert "Give an event type and a time first." in html(result)
    assert "ringback runs replay --dry-run --since 20" in html(result)
    assert not requests


async def test_a_run_begins_once_and_has_a_page() -> None:
    """Replays need their box: without it the API refuses them."""
    form = {"kind": "completed", "type": "hang", "since": "2026-01-27T06:30Z", "dedup": "on"}
    form |= {"reason": "The handler was wrong.", "request_id": RUN}
    answer = pb.CreateRetryRunResponse(run=shown_run("RUNNING"))

    result, [request] = await run(runs.create, answer, form=form)

    assert isinstance(request, pb.CreateRetryRunRequest)
    assert request.kind == pb.RETRY_RUN_KIND_COMPLETED
    assert (request.override_dedup, request.include_replays) == (True, False)
    assert (request.request_id, request.reason) == (RUN, "The handler was wrong.")
    assert result == Redirect(f"/runs/{RUN}")


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("RUNNING", {"pause", "stop"}),
        ("HELD", {"pause", "stop"}),
        ("PAUSED", {"resume", "stop"}),
        ("STOPPING", set()),
    ],
)
async def test_a_run_offers_what_its_state_allows(state: str, offered: set[str]) -> None:
    answer = pb.GetRetryRunResponse(run=shown_run(state))

    result, _ = await run(runs.run, answer, variables={"run_id": RUN})

    text = html(result)
    assert {each for each in ("pause", "resume", "stop") if f'value="{each}"' in text} == offered
    assert ('id="reason"' in text) == bool(offered)
    assert "<script>alert" not in text


async def test_an_ended_run_has_its_result_and_no_button() -> None:
    ended = shown_run("STOPPED", message="Stopped: 3 retries failed again.", failed_again=3)
    ended.ended_at.seconds = 1_769_500_000

    result, _ = await run(runs.run, pb.GetRetryRunResponse(run=ended), variables={"run_id": RUN})
    listed, _ = await run(runs.runs, pb.ListRetryRunsResponse(runs=[ended], next_page_token="t"))

    assert "Stopped: 3 retries failed again." in html(result)
    assert 'name="change"' not in html(result)
    assert f"/search?{urlencode({'q': f'run:{RUN}'})}" in html(result)
    assert "after=t" in html(listed)


async def test_a_run_is_changed_with_a_reason() -> None:
    form = {"change": "pause", "reason": "Lunch."}
    answer = pb.PauseRetryRunResponse()

    result, requests = await run(runs.change, answer, form=form, variables={"run_id": RUN})

    assert requests == [pb.PauseRetryRunRequest(run_id=RUN, reason="Lunch.")]
    assert result == Redirect(f"/runs/{RUN}")
    with pytest.raises(ApiError):
        await run(runs.change, form={"change": "explode"}, variables={"run_id": RUN})
