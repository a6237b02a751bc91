"""The pages Failures and Search, with canned answers."""

import re
from datetime import UTC, datetime

import grpc
import pytest

from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
    RetryDeliveryRequest,
    RetryDeliveryResponse,
)
from ringback.metrics.v1.delivery_pb2 import Delivery, DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    GetDeliveryResponse,
    ListDeadLettersResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListFailureGroupsResponse,
    ListRecentFailuresResponse,
)
from ringback.services.metrics.console.page import Page, Redirect
from ringback.services.metrics.console.pages import failures, search
from ringback.services.metrics.transport.errors import ApiError, Reason, unavailable
from tests.unit.metrics.console.rendered import html, run

JOB = "01a22927-b278-7458-8b84-c3ca7e2090a1"
HOSTILE = '<script>alert("1")</script>\u202e\u0000'
GROUP = {"type": "hang", "error": "TimeoutError"}
AWAY = unavailable(Reason.DATABASE_UNAVAILABLE, "The database cannot be reached.")
ALREADY = ApiError(grpc.StatusCode.ALREADY_EXISTS, Reason.ALREADY_RETRIED, "It was retried.")


def delivery(status: DeliveryStatus.ValueType, text: str = HOSTILE) -> Delivery:
    return Delivery(
        job_id=JOB, status=status, event_type=text, call_id="a/b", error_class=text,
        error_message=text, attempts=4, max_attempts=4,
    )  # fmt: skip


DEAD = delivery(DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER)


def assert_harmless(text: str) -> None:
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "\u0000" not in text
    assert "RIGHT-TO-LEFT OVERRIDE" in text


async def test_groups_come_with_the_newest_failure_first_and_new_ones_are_marked() -> None:
    old, new = FailureGroup(error_class="Old", count=9), FailureGroup(error_class=HOSTILE, count=1)
    old.last_seen.seconds = old.first_seen.seconds = 1
    now = int(datetime.now(UTC).timestamp())
    new.last_seen.seconds = new.first_seen.seconds = now
    groups = ListFailureGroupsResponse(groups=[old, new], next_page_token="more")

    result, _ = await run(failures.failures, groups, AWAY)

    text = html(result)
    assert text.index("alert") < text.index("Old")
    assert text.count("new since yesterday") == 1
    assert "The database cannot be reached." in text
    assert "/ops/console/failures?after=more" in text
    assert_harmless(text)


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (DeliveryStatus.DELIVERY_STATUS_COMPLETED, "Retry the rest"),
        (DeliveryStatus.DELIVERY_STATUS_PENDING, "on its way"),
        (DeliveryStatus.DELIVERY_STATUS_FAILED, "failed again"),
    ],
)
async def test_the_rest_is_offered_when_the_one_that_was_tried_completed(
    status: DeliveryStatus.ValueType, offered: str
) -> None:
    letters = ListDeadLettersResponse(dead_letters=[DEAD], count=1)
    tried = GetDeliveryResponse(delivery=delivery(status))

    result, _ = await run(failures.group, letters, tried, query={**GROUP, "tried": JOB})

    text = html(result)
    assert offered in text
    assert "/ops/console/calls/a%2Fb" in text
    assert "ringback dead list --event-type hang --error-class TimeoutError<" in text
    path = "dead-letter-queue?eventType=hang&amp;errorClass=TimeoutError&amp;omitEvents=true<"
    assert f"GET /api/webhook-metrics/{path}" in text
    assert_harmless(text)


async def test_retrying_one_leads_to_the_group_with_its_new_webhook() -> None:
    form = {**GROUP, "job_id": JOB, "request_id": JOB}

    result, requests = await run(
        failures.retry_one, RetryDeliveryResponse(new_job_id="new"), form=form
    )

    assert requests == [RetryDeliveryRequest(job_id=JOB, request_id=JOB)]
    assert result == Redirect("/failures/group", {**GROUP, "tried": "new"})


async def test_a_selected_row_that_somebody_decided_meanwhile_is_skipped() -> None:
    boxes = {f"job-{JOB}": "on", "job-2": "on"}
    form = {**GROUP, **boxes, "decision": "discard", "reason": "old"}

    result, requests = await run(failures.decide, DiscardDeadLetterResponse(), ALREADY, form=form)

    assert requests[0] == DiscardDeadLetterRequest(job_id=JOB, reason="old")
    assert result == Redirect("/failures/group", {**GROUP, "done": "1", "skipped": "1"})


async def test_rows_are_not_decided_while_the_database_is_away() -> None:
    """The error says how many were decided before."""
    form = {**GROUP, "job-1": "on", "job-2": "on", "job-3": "on", "decision": "discard"}

    with pytest.raises(ApiError, match="1 of 3 were decided") as refused:
        await run(failures.decide, DiscardDeadLetterResponse(), AWAY, form=form)

    assert refused.value.reason == AWAY.reason
    assert refused.value.message.startswith(AWAY.message)


async def test_a_search_says_how_far_it_has_looked_and_how_to_go_on() -> None:
    found = ListDeliveriesResponse(deliveries=[DEAD], next_page_token="t")
    found.searched_until.seconds = 1_769_500_000

    result, requests = await run(search.search, found, query={"q": "type:hang since:2h"})

    text = html(result)
    assert requests[0].event_type == "hang"  # type: ignore[attr-defined]  # a ListDeliveriesRequest
    assert "2026-01-27 07:46:40" in text
    assert "after=t" in text
    assert "since%3A2" in text
    assert "GET /api/webhook-metrics/deliveries?eventType=hang&amp;startTime=2" in text
    assert_harmless(text)


async def test_a_search_that_finds_one_job_shows_its_page() -> None:
    found = ListDeliveriesResponse(deliveries=[DEAD])

    result, requests = await run(search.search, found, query={"q": "01a22927"})

    assert requests == [ListDeliveriesRequest(page_size=50, job_id_prefix="01a22927")]
    assert result == Redirect(f"/webhooks/{JOB}")


async def test_a_mistake_in_a_search_is_named_and_nothing_is_searched() -> None:
    result, requests = await run(search.search, query={"q": f"colour:red {HOSTILE}"})

    assert isinstance(result, Page)
    assert (result.status, requests) == (400, [])
    assert "There is no qualifier colour" in html(result)


async def test_a_cell_has_the_head_of_its_column_unless_it_is_empty() -> None:
    """A narrow window shows it before the value."""
    completed = delivery(DeliveryStatus.DELIVERY_STATUS_COMPLETED, text="")
    completed.call_id = ""

    found = [
        (await run(search.search, ListDeliveriesResponse(deliveries=[one]), query={"q": "call:x"}))
        for one in (DEAD, completed)
    ]

    heads = [re.findall(r'<td data-head="([^"]+)"', html(page)) for page, _ in found]
    every = ["Job", "Status", "Type", "Call", "Accepted", "Attempts", "Last error"]
    assert heads == [every, [head for head in every if head not in {"Type", "Last error"}]]


async def test_nothing_found_is_said() -> None:
    recent = ListRecentFailuresResponse()

    nothing, _ = await run(search.search, ListDeliveriesResponse(), query={"q": "call:none"})
    no_failure, _ = await run(failures.failures, ListFailureGroupsResponse(), recent)

    word, _ = await run(search.search, ListDeliveriesResponse(), query={"q": "hang"})

    assert "No webhook here matches." in html(nothing)
    hint = "A word alone is searched for only as a job id or a call id."
    assert (hint in html(nothing), hint in html(word)) == (False, True)
    assert "Nothing has failed." in html(no_failure)
