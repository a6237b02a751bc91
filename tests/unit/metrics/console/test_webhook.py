"""The page of a webhook: its story, its times, what is safe to show, and what may be done."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1.admin_service_pb2 import RetryDeliveryRequest, RetryDeliveryResponse
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    GetQueueHealthRequest,
    GetQueueHealthResponse,
    ListChangesRequest,
    ListChangesResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
)
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.console.page import Page, Redirect, Visit
from ringback.services.metrics.console.pages.webhook import (
    MAX_FOLLOWED,
    ROUTES,
    payload_file,
    webhook,
)
from ringback.services.metrics.console.views.story import story, why_it_waits
from ringback.services.metrics.console.views.waterfall import WIDTH, waterfall
from ringback.services.metrics.slack.message import Links
from ringback.services.metrics.transport.errors import ApiError, already_retried, no_such_delivery
from tests.unit.metrics.console.rendered import SERVICE, TENANT, html

START = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202e\u0007"


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(START + timedelta(seconds=seconds))
    return moment


def job(number: int) -> str:
    return str(UUID(int=(7 << 76) + (2 << 62) + number))


def found(number: int = 1, **fields: Any) -> GetDeliveryResponse:
    """A webhook that arrived at `number` hours."""
    given: dict[str, Any] = {"status": pb.DELIVERY_STATUS_COMPLETED, "max_attempts": 4} | fields
    delivery = pb.Delivery(job_id=job(number), created_at=at(3600 * number), **given)
    return GetDeliveryResponse(delivery=delivery)


def dead(number: int = 1, **fields: Any) -> GetDeliveryResponse:
    return found(number, status=pb.DELIVERY_STATUS_DEAD_LETTER, **fields)


def visit(
    answers: Mapping[type[Message], Callable[[Any], Message] | Message],
    *,
    principal: Principal = SERVICE,
    query: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    **variables: str,
) -> Visit:
    """Each answer is a message, or a function of the request, which may raise ApiError."""

    async def call(request: Message) -> Message:  # ruff: ignore[unused-async]  # as a call is
        answer = answers[type(request)]
        return answer if isinstance(answer, Message) else answer(request)

    return Visit(principal, call, variables, query or {}, form or {})


async def page_of(*webhooks: GetDeliveryResponse, **options: Any) -> Page:
    """The page of the first webhook."""
    known = {each.delivery.job_id: each for each in webhooks}

    def get(request: GetDeliveryRequest) -> GetDeliveryResponse:
        if request.job_id not in known:
            raise no_such_delivery(request.job_id)
        return known[request.job_id]

    answers = {
        GetDeliveryRequest: get,
        ListChangesRequest: options.pop("changes", ListChangesResponse()),
        GetQueueHealthRequest: GetQueueHealthResponse(consumers=1),
    }
    first = webhooks[0].delivery.job_id
    shown = await webhook(visit(answers, job_id=first, **options))
    assert isinstance(shown, Page)
    return shown


async def test_retries_are_followed_in_both_directions() -> None:
    chain = [
        dead(number, retry_of=job(number - 1), retried_as=job(number + 1)) for number in range(9)
    ]

    page = await page_of(*chain[4:], *chain[:4])

    numbers = [int(UUID(each.found.delivery.job_id)) & 15 for each in page.data["chapters"]]
    assert len(numbers) == MAX_FOLLOWED + 1
    assert numbers == sorted(numbers)
    assert 4 in numbers
    assert f"/console/webhooks/{page.data['earlier_id']}" in html(page)


async def test_the_facts_have_the_reason_of_the_failure_and_the_retry() -> None:
    fields = {"error_class": "TimeoutError", "error_message": HOSTILE, "retried_as": job(2)}
    page = await page_of(dead(1, resolution=pb.RESOLUTION_RETRIED, **fields), found(2))

    facts = html(page).split('id="facts"')[1].split("</dl>")[0]
    assert "TimeoutError" in facts
    assert "&lt;script&gt;" in facts
    assert f"/console/webhooks/{job(2)}" in facts


async def test_a_retry_that_is_gone_is_a_link() -> None:
    page = await page_of(dead(1, retried_as=job(2)))

    assert len(page.data["chapters"]) == 1
    assert f"/console/webhooks/{job(2)}" in html(page)


def test_the_story_has_each_step_with_the_time_before_it() -> None:
    one = dead(0, attempts=2, resolution=pb.RESOLUTION_DISCARDED, resolved_at=at(100))
    for number, begin in ((1, 1), (2, 11)):
        one.attempts.add(
            attempt=number,
            outcome=pb.ATTEMPT_OUTCOME_FAILED,
            started_at=at(begin),
            ended_at=at(begin + 2),
        )
    discarded = pb.Change(
        action=pb.CHANGE_ACTION_DISCARD, changed_at=at(100), actor="ann", reason="Old."
    )

    steps = story(one, [discarded])

    assert [(step.text, step.after_s) for step in steps] == [
        ("Accepted by the endpoint ", None),
        ("Attempt 1 failed", 1),
        ("Attempt 2 failed", 10),
        ("It became a dead letter", 2),
        ("Discarded", 87),
    ]
    assert (steps[-1].actor, steps[-1].reason) == ("ann", "Old.")
    assert [step.text for step in story(one)] == [step.text for step in steps]


@pytest.mark.parametrize(
    ("fields", "health", "words"),
    [
        ({"status": pb.DELIVERY_STATUS_COMPLETED}, None, ""),
        ({"status": pb.DELIVERY_STATUS_PENDING}, None, "in the queue"),
        ({"status": pb.DELIVERY_STATUS_PENDING}, {"consumers": 0}, "No processor is connected"),
        (
            {"status": pb.DELIVERY_STATUS_FAILED, "attempts": 1},
            {"processing": {"paused": True, "changed_by": "ann", "reason": "A release."}},
            "paused by ann: A release.",
        ),
        ({"status": pb.DELIVERY_STATUS_FAILED, "attempts": 1}, {"consumers": 1}, "attempt 2 of 4"),
        ({"status": pb.DELIVERY_STATUS_PROCESSING}, {"consumers": 0}, "is running"),
        (
            {"waiting": {"reason": pb.WAIT_REASON_DESTINATION, "destination": "crm"}},
            None,
            "destination crm",
        ),
        ({"waiting": {"reason": pb.WAIT_REASON_ORDER, "order_key": "c-1"}}, None, "call c-1"),
        ({"waiting": {"reason": pb.WAIT_REASON_RETRY, "attempt": 3}}, None, "attempt 3 of 4"),
    ],
)
def test_why_it_waits(fields: dict[str, Any], health: Mapping[str, Any] | None, words: str) -> None:
    one = found(**{"status": pb.DELIVERY_STATUS_FAILED} | fields).delivery
    sentence = why_it_waits(one, None if health is None else GetQueueHealthResponse(**health))

    assert words in sentence
    assert bool(sentence) == bool(words)


def test_the_waterfall_draws_waits_and_attempts_in_one_axis() -> None:
    """Also if the clocks of two machines differ, and across a retry."""
    first, second = dead(0), found(1, status=pb.DELIVERY_STATUS_FAILED)
    first.attempts.add(
        attempt=1,
        outcome=pb.ATTEMPT_OUTCOME_FAILED,
        started_at=at(-5),
        ended_at=at(2),
        trace_id="1" * 32,
    )
    second.attempts.add(
        attempt=1, outcome=pb.ATTEMPT_OUTCOME_FAILED, started_at=at(3610), ended_at=at(3611)
    )
    first.forwards.add(
        forward="crm", status=pb.DELIVERY_STATUS_COMPLETED, created_at=at(0), completed_at=at(1)
    )

    rows = waterfall([first, second], START + timedelta(seconds=7200))

    assert [(row.what, row.wait_s, row.took_s) for row in rows] == [
        ("Attempt 1", None, 2),
        ("Forward crm", None, 1),
        ("Attempt 1", 10, 1),
        ("Next attempt", 3589, None),
    ]
    bars = [bar for row in rows for bar in row.bars]
    assert [bar.kind for bar in bars] == ["failed", "completed", "wait", "failed", "wait"]
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH + 0.1 for bar in bars)
    assert bars[-1].x + bars[-1].width == pytest.approx(WIDTH)
    assert bars[3].x == pytest.approx(bars[2].x + bars[2].width)


async def test_a_trace_is_a_link_if_it_is_shown_anywhere() -> None:
    one = found()
    one.attempts.add(attempt=1, trace_id="1" * 32)
    page = await page_of(one)

    links = Links("https://traces.example/{trace_id}")
    href = f'href="https://traces.example/{"1" * 32}"'
    # In the story, and where the time went.
    assert html(page, trace_url=links.trace_of).count(href) == 2
    assert html(page).count(f'data-copy="{"1" * 32}"') == 2


async def test_hostile_text_is_shown_and_not_obeyed() -> None:
    event = json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False)
    one = dead(
        1,
        event_type=HOSTILE,
        endpoint_id=HOSTILE,
        call_id=f"../{HOSTILE}",
        error_class=HOSTILE,
        error_message=HOSTILE * 1000,
        event_data=event,
        duplicate_of=job(2),
    )
    one.attempts.add(
        attempt=1,
        error_class=HOSTILE,
        error_message=f"{HOSTILE}\n\n\n\n",
        answer=pb.Answer(status=200, text=HOSTILE),
    )
    one.forwards.add(forward=HOSTILE, job_id=job(3), error_class=HOSTILE)
    one.retried_as.CopyFrom(pb.Retry(new_job_id=job(4), actor=HOSTILE, reason=HOSTILE))

    text = html(await page_of(one, found(2, event_data='{"a":1}')))

    assert "<script>" not in text
    assert not {"\u202e", "\u0007"} & set(text)
    assert "RIGHT-TO-LEFT OVERRIDE" in text


async def test_a_duplicate_is_shown_with_its_key() -> None:
    copy = found(status=pb.DELIVERY_STATUS_DUPLICATE, duplicate_of=job(2), dedup_key="hang|<1>")

    assert "<code><bdi>hang|&lt;1&gt;</bdi></code>" in html(await page_of(copy))


async def test_an_event_that_is_not_stored_yet_is_not_an_unknown_webhook() -> None:
    with pytest.raises(ApiError, match="not in the log yet"):
        await payload_file(visit({GetDeliveryRequest: found()}, job_id=job(1)))


@pytest.mark.parametrize(
    ("one", "actions"),
    [
        (dead(), {"retry", "discard"}),
        (dead(resolution=pb.RESOLUTION_RETRIED), set()),
        (found(), set()),
        (found(status=pb.DELIVERY_STATUS_DUPLICATE), {"run"}),
        (
            found(status=pb.DELIVERY_STATUS_FAILED, waiting=pb.Wait(reason=pb.WAIT_REASON_RETRY)),
            {"release", "cancel"},
        ),
    ],
)
async def test_only_what_the_state_allows_has_a_form(
    one: GetDeliveryResponse, actions: set[str]
) -> None:
    text = html(await page_of(one, principal=TENANT))

    verbs = [route.path.rpartition("/")[2] for route in ROUTES if route.verb == "POST"]
    shown = {verb for verb in verbs if f'/{verb}"' in text}
    assert shown == actions
    # A page that can no longer change is not read again.
    assert ("data-final" in text) == (not actions or actions == {"run"})


async def test_a_notice_is_one_of_a_table() -> None:
    for query, is_shown in (({"done": "retried"}, True), ({"done": HOSTILE}, False)):
        failed = dead(2, error_class="TimeoutError", error_message="after 5 s")
        page = await page_of(dead(1, retried_as=job(2)), failed, query=query)
        assert bool(page.data["notice_text"]) == is_shown
        assert ("after 5 s" in html(page)) == is_shown
        assert page.data["newest"].job_id == job(2)


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        ([job(1)], Redirect(f"/webhooks/{job(1)}")),
        ([job(1), job(2)], Redirect("/search", {"q": "job:0000"})),
        ([], None),
    ],
)
async def test_the_beginning_of_a_job_id(deliveries: list[str], expected: Redirect | None) -> None:
    answer = ListDeliveriesResponse(deliveries=[pb.Delivery(job_id=each) for each in deliveries])
    asked = visit({ListDeliveriesRequest: answer}, job_id="0000")

    if expected is None:
        with pytest.raises(ApiError, match="no webhook"):
            await webhook(asked)
    else:
        assert await webhook(asked) == expected


@pytest.mark.parametrize("is_again", [False, True])
async def test_a_retry_leads_back_to_the_page(*, is_again: bool) -> None:
    """Also if the webhook was retried before: the page shows as what."""

    def answer(request: RetryDeliveryRequest) -> RetryDeliveryResponse:
        assert (request.reason, request.request_id) == ("Up again.", job(9))
        if is_again:
            raise already_retried(UUID(job(1)), UUID(job(2)))
        return RetryDeliveryResponse()

    [retry] = [route.show for route in ROUTES if route.path.endswith("/retry")]
    form = {"reason": " Up again. ", "request_id": job(9)}

    result = await retry(visit({RetryDeliveryRequest: answer}, form=form, job_id=job(1)))

    done = "already" if is_again else "retried"
    assert result == Redirect(f"/webhooks/{job(1)}", {"done": done})
