"""The beginning of a job id instead of the whole one."""

from typing import Any

import pytest

from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, at, retried
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

BEGINNING = DEAD[:13]
REASON = ("--reason", "Why.")


def page(*job_ids: str) -> metrics.ListDeliveriesResponse:
    found = metrics.ListDeliveriesResponse()
    for job_id in job_ids:
        one = found.deliveries.add(job_id=job_id, event_type="hang", created_at=at(0))
        one.status = DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER
    return found


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("delivery show", retried(DeliveryStatus.DELIVERY_STATUS_COMPLETED)),
        ("delivery run", admin.RunDuplicateResponse()),
        ("dead show", retried(DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER)),
        ("dead retry", admin.RetryDeliveryResponse()),
        ("dead discard", admin.DiscardDeadLetterResponse()),
        ("waiting now", admin.ReleaseWaitingResponse()),
        ("waiting cancel", admin.CancelWaitingResponse()),
        ("changes --job", metrics.ListChangesResponse()),
    ],
)
def test_every_command_takes_the_beginning(
    service: ScriptedService, ringback: Ringback, command: str, answer: Any
) -> None:
    service.answer = answers(page(DEAD), answer)
    more = () if command.endswith(("show", "--job")) else REASON

    ended = ringback(*command.split(), BEGINNING, *more)

    searched, asked = service.requests
    assert (ended.status, ended.err) == (0, "")
    assert (searched.job_id_prefix, asked.job_id) == (BEGINNING, DEAD)


def test_a_whole_id_is_not_searched(service: ScriptedService, ringback: Ringback) -> None:
    """Also without hyphens."""
    service.answer = lambda _: retried(DeliveryStatus.DELIVERY_STATUS_COMPLETED)

    assert ringback("delivery", "show", DEAD).status == 0
    assert ringback("delivery", "show", DEAD.replace("-", "").upper()).status == 0
    assert [request.job_id for request in service.requests] == [DEAD, DEAD]


@pytest.mark.parametrize(
    ("beginning", "found", "status", "sentence"),
    [
        (BEGINNING, 0, 1, f"There is no webhook whose job id begins with {BEGINNING}."),
        (BEGINNING, 2, 2, f"2 webhooks have a job id that begins with {BEGINNING}. Give more"),
        (BEGINNING, 6, 2, "More than 5 webhooks have a job id that begins with"),
        ("019", 0, 2, "'019' is neither a job id nor the beginning of one"),
        ("yesterday", 0, 2, "with at least 4 hexadecimal digits"),
    ],
)
def test_the_beginning_must_select_one(
    service: ScriptedService,
    ringback: Ringback,
    beginning: str,
    found: int,
    status: int,
    sentence: str,
) -> None:
    """The candidates are listed with their type, status and time."""
    ids = [f"{DEAD[:-1]}{digit}" for digit in range(found)]
    service.answer = lambda _: page(*ids)

    ended = ringback("dead", "retry", beginning, *REASON)

    lines = ended.err.splitlines()[1:]
    assert ended.status == status
    assert sentence in ended.error
    assert lines[:5] == [f"    {one}  hang  dead letter  2026-01-27 06:30:00" for one in ids[:5]]
    assert lines[5:] == (["    ..."] if found == 6 else [])
    assert all(isinstance(one, metrics.ListDeliveriesRequest) for one in service.requests)
