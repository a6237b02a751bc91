"""What `ringback waiting` and the other commands show of webhooks that wait in the database."""

import re
from datetime import UTC
from typing import Any

import pytest

from ringback.cli.views.formatting import wait_words
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus, Wait, WaitReason
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, at
from tests.unit.cli.test_commands import health
from tests.unit.metrics_client.scripted_service import ScriptedService, answers


@pytest.mark.parametrize(
    ("due_s", "fields", "words"),
    [
        (90, {}, "attempt 3 due in 1 min, retry"),
        (
            -90,
            {"destination": "crm", "reason": WaitReason.WAIT_REASON_DESTINATION},
            "attempt 3 due 1 min ago, destination crm",
        ),
        (
            None,
            {"order_key": "call-1", "reason": WaitReason.WAIT_REASON_ORDER},
            "attempt 3 due after an earlier webhook of its call, order key call-1",
        ),
        (
            0,
            {"reason": WaitReason.WAIT_REASON_CANCELLED},
            "attempt 3 becomes a dead letter in moments, cancelled",
        ),
    ],
)
def test_a_wait_says_until_when_and_why(
    due_s: int | None, fields: dict[str, Any], words: str
) -> None:
    wait = Wait(**{"attempt": 3, "reason": WaitReason.WAIT_REASON_RETRY} | fields)
    if due_s is not None:
        wait.due_at.CopyFrom(at(due_s))

    assert wait_words(wait, at(0).ToDatetime(UTC)) == words


def test_waiting_webhooks_are_shown(
    service: ScriptedService, ringback: Ringback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One webhook, a list that fits into 80 columns, and the counts of the health."""
    monkeypatch.setenv("COLUMNS", "80")
    wait = Wait(job_id=DEAD, event_type="tool-calls", attempt=3, due_at=at(0))
    wait.reason, wait.destination = WaitReason.WAIT_REASON_DESTINATION, "google-calendar"
    shown = metrics.GetDeliveryResponse()
    shown.delivery.status = DeliveryStatus.DELIVERY_STATUS_FAILED
    shown.delivery.waiting.CopyFrom(wait)
    counted = health()
    counted.waits.oldest_overdue_s = 3600
    counted.waits.by_reason.add(reason=WaitReason.WAIT_REASON_RETRY, count=1234)
    service.answer = answers(shown, metrics.ListWaitingResponse(waiting=[wait]), counted)

    one = ringback("delivery", "show", DEAD)
    listed = ringback("waiting", "list", "--why", "destination", "--destination", "google-calendar")
    healthy = ringback("health")

    assert "Waiting in the database: attempt 3 due" in one.out
    assert DEAD in listed.out
    assert "destination google-calendar" in listed.out
    assert max(map(len, listed.out.splitlines())) <= 80
    assert service.requests[1].reason == WaitReason.WAIT_REASON_DESTINATION
    assert re.search(r"in the database: retry +1,234", healthy.out)
    assert "overdue by 1 h" in healthy.out


def test_all_that_match_are_released_in_steps(service: ScriptedService, ringback: Ringback) -> None:
    """The same call is made again while more match."""
    service.answer = answers(
        admin.ReleaseWaitingResponse(released=1000, has_more=True),
        admin.ReleaseWaitingResponse(released=234),
    )

    ended = ringback("waiting", "now", "--destination", "crm", "--reason", "It is back.")

    assert (ended.status, ended.out) == (0, "1,234 webhooks released.\n")
    assert [request.filter.destination for request in service.requests] == ["crm", "crm"]
    assert [request.reason for request in service.requests] == ["It is back."] * 2


def test_one_is_cancelled(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(admin.CancelWaitingResponse(cancelled=1, message="Cancelled."))

    ended = ringback("waiting", "cancel", DEAD, "--reason", "Not needed.")

    assert (ended.status, ended.out) == (0, "Cancelled.\n")
    [request] = service.requests
    assert (request.job_id, request.HasField("filter")) == (DEAD, False)
