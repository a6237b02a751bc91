"""What commands print on a terminal of 80 columns, for long values."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringback.cli.terminal import out
from ringback.cli.views.health_view import Rates, watch_view
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import (
    AttemptOutcome,
    BreakerState,
    Delivery,
    DeliveryStatus,
    Destination,
    Wait,
    WaitReason,
)
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, NEW, at
from tests.unit.cli.test_trace import JOB, attempt, line
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

TYPE = "appointment-reservation-conflict-detected-by-provider"
ERROR = (
    "The provider rejected the reservation because the slot was taken by another caller; see "
    "https://provider.example/conflicts/77."
)


@pytest.fixture
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request it after the fixtures that set a wide one."""
    for variable, value in (("FORCE_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "80")):
        monkeypatch.setenv(variable, value)


@pytest.fixture
def narrow(service: ScriptedService, narrow_terminal: None) -> ScriptedService:
    del narrow_terminal
    return service


def dead_letter() -> Delivery:
    letter = Delivery(
        job_id=DEAD,
        event_type=TYPE,
        status=DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER,
        attempts=1,
        max_attempts=4,
        error_class="PermanentFailure",
        error_message=ERROR,
        event_data='{"message":{}}',
    )
    letter.created_at.FromDatetime(datetime.now(UTC) - timedelta(days=3))
    return letter


def one_dead_letter() -> metrics.GetDeliveryResponse:
    found = metrics.GetDeliveryResponse(delivery=dead_letter())
    found.delivery.created_at.CopyFrom(at(0))
    outcome = AttemptOutcome.ATTEMPT_OUTCOME_PERMANENT
    tried = found.attempts.add(attempt=1, outcome=outcome, duration_ms=5, error_message=ERROR)
    tried.started_at.CopyFrom(at(0.02))
    tried.ended_at.CopyFrom(at(0.025))
    forward = found.forwards.add(job_id=NEW, forward="customer-relations-archive")
    forward.status, forward.error_class = DeliveryStatus.DELIVERY_STATUS_FAILED, "no_answer"
    return found


def groups() -> metrics.ListFailureGroupsResponse:
    answer = metrics.ListFailureGroupsResponse()
    group = answer.groups.add(event_type=TYPE, error_class="ReservationConflictError", count=1200)
    group.latest_error_message = ERROR
    group.first_seen.CopyFrom(at(0))
    group.last_seen.CopyFrom(at(0))
    return answer


def stats() -> metrics.GetDeliveryStatsResponse:
    answer = metrics.GetDeliveryStatsResponse(time_range="24h", start_time=at(0), end_time=at(60))
    counts = answer.by_event_type[TYPE]
    counts.total, counts.completed, counts.failed = 12_345_678, 12_000_000, 345_678
    return answer


def destinations() -> metrics.ListDestinationsResponse:
    crm = Destination(
        name="forward.acme-dental-of-springfield.customer-relations",
        state=BreakerState.BREAKER_STATE_HALF_OPEN,
        processors=12,
        processors_not_closed=10,
        in_flight=1234,
        waiting=1_234_567,
        last_error="CertificateVerificationError",
        forced_state=BreakerState.BREAKER_STATE_HALF_OPEN,
        changed_by="ada@laptop",
        reason="Their certificate is expired.",
    )
    return metrics.ListDestinationsResponse(destinations=[crm])


def waits() -> metrics.ListWaitingResponse:
    wait = Wait(
        job_id=DEAD,
        event_type=TYPE,
        attempt=2,
        reason=WaitReason.WAIT_REASON_DESTINATION,
        destination="forward.acme-dental-of-springfield.customer-relations",
    )
    wait.due_at.CopyFrom(at(0))
    return metrics.ListWaitingResponse(waiting=[wait])


PRINTED = {
    "dead list": (
        metrics.ListDeadLettersResponse(dead_letters=[dead_letter()]),
        """\
019bfe18-fd80-7000-8000-00000000dead
    appointment-reservation-conflict-detected-by-provider
    dead letter 1/4  N days ago  PermanentFailure: The provider rejected the re…

`ringback dead show JOB` shows one; `ringback dead retry JOB` retries it.
""",
    ),
    "dead groups": (
        groups(),
        """\
  1,200  appointment-reservation-conflict-detected-by-provider
         ReservationConflictError
         newest N days ago, oldest N days ago
         The provider rejected the reservation because the slot was taken by an…

`ringback dead retry --event-type TYPE --error-class CLASS --reason TEXT` retries a group.
""",
    ),
    f"dead show {DEAD}": (
        one_dead_letter(),
        """\
019bfe18-fd80-7000-8000-00000000dead
    appointment-reservation-conflict-detected-by-provider
status                              dead letter  N days ago
attempts                            1 of 4
forward customer-relations-archive  019bfe18-fd80-7000-8000-000000000002
                                    failed, no_answer

2026-01-27 UTC
  06:30:00.000             accepted
  06:30:00.020  +20 ms     attempt 1  permanent  in 5 ms
                             The provider rejected the reservation because the
                             slot was taken by another caller; see
                             https://provider.example/conflicts/77.
  06:30:00.025  +5 ms      became a dead letter

{
  "message": {}
}
""",
    ),
    "stats": (
        stats(),
        """\
By event type
event type                      total  completed  failed dead pending duplicates
appointment-reservation-co 12,345,678 12,000,000 345,678    0       0          0
nflict-detected-by-provide
r
""",
    ),
    "destinations list": (
        destinations(),
        """\
destination                          state      not closed  in flight    waiting
forward.acme-dental-of-springfield.  half-open  10 of 12         1234  1,234,567
customer-relations

forward.acme-dental-of-springfield.customer-relations: the last error is
    CertificateVerificationError.
forward.acme-dental-of-springfield.customer-relations is kept half-open by
    ada@laptop: Their certificate is expired.
""",
    ),
    "waiting list": (
        waits(),
        """\
019bfe18-fd80-7000-8000-00000000dead
    appointment-reservation-conflict-detected-by-provider
    attempt 2 due N days ago, destination
    forward.acme-dental-of-springfield.customer-relations
""",
    ),
}


def plain(text: str) -> str:
    """Without spaces at the ends of lines, and without the age of the test's data."""
    rows = re.sub(r"\d+ days ago", "N days ago", text).splitlines()
    return "\n".join(row.rstrip() for row in rows)


@pytest.mark.parametrize("command", PRINTED)
def test_no_id_name_or_number_is_cut(
    command: str, narrow: ScriptedService, ringback: Ringback
) -> None:
    answer, expected = PRINTED[command]
    narrow.answer = answers(answer)

    ended = ringback(*command.split())

    assert ended.status == 0
    assert plain(ended.out).endswith(plain(expected))


def test_a_pipe_gets_whole_lines(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    monkeypatch.delenv("COLUMNS")
    service.answer = answers(one_dead_letter(), stats())

    shown, counted = ringback("dead", "show", DEAD), ringback("stats")

    assert ERROR in shown.out
    assert re.search(rf"^{TYPE} +12,345,678 ", counted.out, re.MULTILINE)


@pytest.mark.usefixtures("no_settings", "narrow_terminal")
def test_a_trace_wraps_between_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    spans = [attempt(1, "a/1", 0, 5, JOB, outcome="failed", error="ReservationConflictError")]
    path = tmp_path / "traces.jsonl"
    path.write_bytes(line(*spans))
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))

    ended = ringback("trace", JOB)

    assert (
        plain(ended.out)
        == """\
01a20ae5-092a-7231-b1cb-a72e977205ad  hang  1 attempt, failed

2026-11-24 UTC         trace 0000000000000000000000000000000a
00:00:00.000     5 ms  attempt 1                    failed
                         ReservationConflictError: It broke."""
    )


@pytest.mark.usefixtures("narrow_terminal")
@pytest.mark.parametrize(("messages", "cells"), [(0, 0), (1, 1), (50, 15), (100, 30), (900, 30)])
def test_one_message_is_no_full_bar(messages: int, cells: int) -> None:
    answer = metrics.GetQueueHealthResponse()
    answer.queues.add(queue="webhooks.work", messages=messages)
    console = out()

    with console.capture() as captured:
        console.print(watch_view(answer, Rates()))

    assert captured.get().count("█") == cells
