"""What `ringback delivery show` prints."""

import re

from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import AttemptOutcome, DeliveryStatus
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, FIRST, NEW, at, retried
from tests.unit.metrics_client.scripted_service import ScriptedService, answers


def test_a_delivery_is_a_timeline(service: ScriptedService, ringback: Ringback) -> None:
    """From its arrival over each attempt to its retry, with the time between."""
    answer = retried(DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER)
    for number, start_s in ((1, 0.02), (2, 2.1)):
        answer.attempts.add(
            attempt=number,
            outcome=AttemptOutcome.ATTEMPT_OUTCOME_FAILED,
            started_at=at(start_s),
            ended_at=at(start_s + 0.4),
            duration_ms=400,
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        )
    service.answer = answers(answer)

    ended = ringback("delivery", "show", DEAD)

    entries = re.findall(
        r"^  \d\d:\d\d:\d\d\.\d{3}  (\S*(?: ms| s| min)?)\s+(.*)$", ended.out, re.MULTILINE
    )
    assert ended.status == 0
    assert entries == [
        ("", "accepted"),
        ("+20 ms", "attempt 1  failed  in 400 ms"),
        ("+2.1 s", "attempt 2  failed  in 400 ms"),
        ("+400 ms", "became a dead letter"),
        ("+1 min", f"retried as {NEW}"),
    ]
    assert "by anna@laptop: The shop is back." in ended.out
    assert ended.out.count("trace 4bf92f3577b34da6a3ce929d0e0e4736") == 1


def test_a_delivery_shows_its_forwards_and_what_their_receivers_answered(
    service: ScriptedService, ringback: Ringback
) -> None:
    received = retried(DeliveryStatus.DELIVERY_STATUS_COMPLETED)
    for name, status in (
        ("archive", DeliveryStatus.DELIVERY_STATUS_COMPLETED),
        ("crm", DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER),
    ):
        forward = received.forwards.add(job_id=NEW, forward=name, forward_of=DEAD, status=status)
    forward.error_class = "http_500"
    sent = metrics.GetDeliveryResponse(delivery=forward)
    answer = sent.attempts.add(attempt=1, started_at=at(1), ended_at=at(2)).answer
    answer.status, answer.latency_ms, answer.text, answer.is_cut = 500, 250, "<h1>no\n</h1>", True
    service.answer = answers(received, sent)

    shown, of_forward = ringback("delivery", "show", DEAD), ringback("delivery", "show", NEW)

    assert re.search(rf"forward archive +{NEW} +completed", shown.out)
    assert re.search(rf"forward crm +{NEW} +dead letter, http_500", shown.out)
    assert re.search(rf"forwards +{DEAD}", of_forward.out)
    assert "answered with status 500 in 250 ms" in of_forward.out
    assert "<h1>no </h1>…" in of_forward.out


def test_a_run_duplicate_is_shown_on_both_sides(
    service: ScriptedService, ringback: Ringback
) -> None:
    duplicate = retried(DeliveryStatus.DELIVERY_STATUS_DUPLICATE)
    duplicate.retried_as.duplicate_of = FIRST
    new = metrics.GetDeliveryResponse(delivery=duplicate.delivery, retry_of=duplicate.retried_as)
    service.answer = answers(duplicate, new)

    old_one, new_one = ringback("delivery", "show", DEAD), ringback("delivery", "show", NEW)

    assert "duplicate, run anyway" in old_one.out
    assert f"run anyway as {NEW}" in old_one.out
    recognised = f"accepted, to run {DEAD}, which was recognised as a duplicate of {FIRST}"
    assert recognised in new_one.out
