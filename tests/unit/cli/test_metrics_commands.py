"""What the commands of the metrics API request, show and return."""

import re
from typing import Any

import grpc
import orjson
import pytest

from ringback.cli.app import run
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from tests.unit.cli.metrics_answers import (
    DEAD,
    FIRST,
    NEW,
    at,
    dead_letter,
    health,
    retried_dead_letter,
    run_duplicate,
)
from tests.unit.metrics_client.scripted_service import (
    RefusedError,
    ScriptedService,
    dead_letter_page,
)

Captured = pytest.CaptureFixture[str]


def test_health_names_what_is_broken(service: ScriptedService, capsys: Captured) -> None:
    """The exit status reflects the queues: 1 when a threshold is exceeded."""
    service.answer = lambda _: health()
    good = run(["health"])
    told_good = capsys.readouterr().out
    service.answer = lambda _: health(waiting=5000, ok=False)

    bad = run(["health"])

    told_bad = capsys.readouterr().out
    assert (good, bad) == (0, 1)
    assert told_good.startswith("Healthy")
    assert told_bad.startswith("Not healthy: waiting ")
    assert "5,000" in told_bad
    assert service.tokens == ["Bearer given"] * 2


def test_json_is_the_document_of_rest(service: ScriptedService, capsys: Captured) -> None:
    """With --json there is one document on one line, with the names of REST."""
    service.answer = lambda _: health()

    status = run(["health", "--json"])

    [line] = capsys.readouterr().out.splitlines()
    document = orjson.loads(line)
    assert status == 0
    assert document["metrics"]["waiting"] == 5
    assert document["stats"]["failureRate"] == "0.24%"
    assert document["timestamp"] == "2026-01-27T06:30:00.000Z"


def test_stats_tell_failed_from_dead(service: ScriptedService, capsys: Captured) -> None:
    """The table does not count a dead letter among the failed webhooks of its type."""
    answer = metrics.GetDeliveryStatsResponse(time_range="7d", start_time=at(0), end_time=at(60))
    answer.summary.total, answer.summary.success_rate = 156, "98.08%"
    answer.by_event_type["hang"].total = 43
    answer.by_event_type["hang"].failed = 3
    answer.by_event_type["hang"].dead_letter = 1
    service.answer = lambda _: answer

    status = run(["stats", "--range", "7d"])

    told = capsys.readouterr().out
    [row] = [line.split() for line in told.splitlines() if line.startswith("hang")]
    assert status == 0
    assert row == ["hang", "43", "0", "2", "1", "0", "0"]
    assert "98.08%" in told
    assert service.requests[0].range == "7d"


def test_failures_are_two_whole_lines_each(service: ScriptedService, capsys: Captured) -> None:
    """A pipe gets whole job ids and errors, without terminal control characters."""
    service.answer = lambda _: metrics.ListRecentFailuresResponse(failures=[dead_letter()], count=1)

    status = run(["failures", "--limit", "5"])

    first, second = capsys.readouterr().out.splitlines()
    assert status == 0
    assert first.startswith(f"{DEAD}  end-of-call-report")
    assert "dead letter 2/2" in first
    assert second == "    TimeoutError: The shop did not answer. [31m"
    assert service.requests[0].limit == 5


def test_a_delivery_is_told_in_order(service: ScriptedService, capsys: Captured) -> None:
    """From its arrival over each attempt to its retry, with the time between."""
    service.answer = lambda _: retried_dead_letter()

    status = run(["delivery", "show", DEAD])

    told = capsys.readouterr().out
    events = re.findall(
        r"^  \d\d:\d\d:\d\d\.\d{3}  (\S*(?: ms| s| min)?)\s+(.*)$", told, re.MULTILINE
    )
    assert status == 0
    assert [words for _, words in events] == [
        "accepted",
        "attempt 1  failed  in 400 ms",
        "attempt 2  failed  in 400 ms",
        "became a dead letter",
        f"retried as {NEW}",
    ]
    assert [since for since, _ in events][1:3] == ["+20 ms", "+2.1 s"]
    assert "by anna@laptop: The shop is back." in told
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736" in told


def test_a_dead_letter_is_shown_with_its_event(service: ScriptedService, capsys: Captured) -> None:
    """A webhook that is not a dead letter is refused, with the command that shows it."""
    service.answer = lambda _: retried_dead_letter()
    shown = run(["dead", "show", DEAD])
    told = capsys.readouterr().out
    completed = retried_dead_letter()
    completed.delivery.status = 3  # type: ignore[assignment]  # the number of COMPLETED
    service.answer = lambda _: completed

    refused = run(["dead", "show", DEAD])

    assert (shown, refused) == (0, 1)
    assert '"type": "end-of-call-report"' in told
    assert "not a dead letter but completed" in " ".join(capsys.readouterr().err.split())


def test_all_dead_letters_come_one_per_line(service: ScriptedService, capsys: Captured) -> None:
    """--all goes over every page; each line is a document."""
    pages = {"": dead_letter_page("a", "b", then="next"), "next": dead_letter_page("c")}
    service.answer = lambda request: pages[request.page_token]

    status = run(["dead", "list", "--all", "--json", "--event-type", "hang"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [orjson.loads(line)["jobId"] for line in lines] == ["a", "b", "c"]
    assert {request.event_type for request in service.requests} == {"hang"}


def test_one_retry_gives_the_new_job(service: ScriptedService, capsys: Captured) -> None:
    """It also shows notes, for example that the webhook is on its way or its event differs."""
    service.answer = lambda _: admin.RetryDeliveryResponse(
        success=True,
        message="Webhook re-queued for processing",
        new_job_id=NEW,
        altered=True,
        state=admin.RetryState.RETRY_STATE_QUEUED,
    )

    status = run(["dead", "retry", DEAD, "--reason", "The shop is back."])

    told = capsys.readouterr().out
    assert status == 0
    assert told.startswith("Webhook re-queued for processing\n")
    assert NEW in told
    assert "in a moment" in told
    assert "differs from the received one" in told
    assert service.requests[0].reason == "The shop is back."


def test_a_second_retry_says_what_became_of_the_first(
    service: ScriptedService, capsys: Captured
) -> None:
    """The refusal of the service, and the command that shows the first one's webhook."""
    refusal = RefusedError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ALREADY_RETRIED",
        "It was retried already.",
        newJobId=NEW,
    )

    def refuse(_: Any) -> Any:
        raise refusal

    service.answer = refuse

    status = run(["dead", "retry", DEAD])

    told = capsys.readouterr().err
    assert status == 1
    assert "It was retried already." in told
    assert f"ringback delivery show {NEW}" in told


def test_a_duplicate_is_run_after_all(service: ScriptedService, capsys: Captured) -> None:
    """The answer names the original webhook, and how to follow the run."""
    service.answer = lambda _: admin.RunDuplicateResponse(
        success=True,
        message="Webhook re-queued for processing",
        new_job_id=NEW,
        duplicate_of=FIRST,
        state=admin.RetryState.RETRY_STATE_PUBLISHED,
    )

    status = run(["delivery", "run", DEAD, "--reason", "Two bookings."])

    told = capsys.readouterr().out
    assert status == 0
    assert f"recognised as a duplicate of  {FIRST}\n" in told
    assert f"ringback delivery show {NEW}" in told
    [request] = service.requests
    assert (request.job_id, request.reason) == (DEAD, "Two bookings.")
    assert request.request_id


def test_a_run_duplicate_is_shown_on_both_sides(service: ScriptedService, capsys: Captured) -> None:
    """The duplicate shows its run; the run shows its duplicate and the reason."""
    service.answer = lambda _: run_duplicate()
    run(["delivery", "show", DEAD])
    duplicate = capsys.readouterr().out
    new = run_duplicate()
    new.delivery.job_id = NEW
    new.retry_of.CopyFrom(new.retried_as)
    new.ClearField("retried_as")
    service.answer = lambda _: new

    run(["delivery", "show", NEW])

    shown = capsys.readouterr().out
    assert "duplicate, run anyway" in duplicate
    assert f"run anyway as {NEW}" in duplicate
    assert "by anna@laptop: Two bookings." in duplicate
    assert f"accepted, to run {DEAD}, which was recognised as a duplicate of {FIRST}" in shown


def test_pause_waits_until_processors_have_noticed(
    service: ScriptedService, capsys: Captured
) -> None:
    """It reports the actual state: the processors stopped, not that they will."""
    noticed = iter([0, 1])

    def answer(request: Any) -> Any:
        is_first = isinstance(request, admin.PauseProcessingRequest)
        found: Any = admin.PauseProcessingResponse() if is_first else health()
        state = found.processing
        state.paused, state.processors, state.processors_paused = True, 1, next(noticed)
        state.changed_by, state.reason = "anna@laptop", request_reason
        state.changed_at.CopyFrom(at(0))
        return found

    request_reason = "A new release."
    service.answer = answer

    status = run(["pause", "--reason", request_reason])

    told = capsys.readouterr().out
    assert status == 0
    assert "Processing is paused since 2026-01-27 06:30:00 UTC by anna@laptop: A new release." in (
        " ".join(told.split())
    )
    assert "1 of 1 processor stopped consuming" in told


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 1, "rejected the token from RINGBACK_TOKEN: So it is."),
        (grpc.StatusCode.PERMISSION_DENIED, 1, "Not allowed: So it is."),
        (grpc.StatusCode.NOT_FOUND, 1, "Error: So it is."),
        (grpc.StatusCode.INVALID_ARGUMENT, 2, "Error: So it is."),
        (grpc.StatusCode.UNAVAILABLE, 1, "is temporarily unavailable: So it is."),
        (grpc.StatusCode.INTERNAL, 1, "failed: So it is. (INTERNAL)"),
    ],
)
def test_a_refusal_is_one_sentence(
    code: grpc.StatusCode, status: int, sentence: str, service: ScriptedService, capsys: Captured
) -> None:
    """For every error of the service, a person gets a sentence and a script the status."""

    def refuse(_: Any) -> Any:
        raise RefusedError(code, "A_REASON", "So it is.")

    service.answer = refuse

    ended = run(["delivery", "show", DEAD])

    told = " ".join(capsys.readouterr().err.split())
    assert ended == status
    assert sentence in told


def test_watch_outlives_an_outage_of_the_service(
    service: ScriptedService, capsys: Captured
) -> None:
    """A pipe gets a line each time; a refusal ends it, an unavailable service does not."""
    away = RefusedError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "It is away.")
    refused = RefusedError(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "Too old.")
    looks = iter([None, None, away, None, refused])

    def answer(request: Any) -> Any:
        if isinstance(request, metrics.GetDeliveryStatsRequest):
            return metrics.GetDeliveryStatsResponse()
        failure = next(looks)
        if failure is not None:
            raise failure
        return metrics.WatchQueueHealthResponse(health=health(waiting=7))

    service.answer = answer

    status = run(["watch"])

    told = capsys.readouterr()
    assert status == 1
    assert "Too old." in told.err
    assert len(told.out.splitlines()) == 3
    assert told.out.startswith("06:30:00  healthy  waiting 7  active 0")
