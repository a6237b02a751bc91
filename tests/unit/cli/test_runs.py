"""`ringback runs` and `ringback dead retry --detach`: runs that work on the server."""

import re

import orjson
import pytest

from ringback.metrics.v1 import admin_service_pb2 as admin
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, NEW, at
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

RUN = admin.RetryRun(
    run_id=DEAD,
    kind=admin.RETRY_RUN_KIND_COMPLETED,
    filter=admin.DeadLetterFilter(event_type="end-of-call-report", start_time=at(0)),
    limit=1000,
    rate_per_second=10,
    actor="anna@laptop",
    reason="The handler booked the wrong day, so that all of Monday has to be booked again.",
    state=admin.RETRY_RUN_STATE_HELD,
    message="Waiting: 60 webhooks are queued for a processor.",
    matched=40,
    retried=12,
    completed=9,
    failed_again=2,
    created_at=at(0),
)
STYLE = re.compile(r"\x1b\[[0-9;]*m")
LISTED = admin.ListRetryRunsResponse(runs=[RUN])
PREVIEW = admin.CreateRetryRunResponse(
    preview=admin.RetryRunPreview(
        matched=40,
        examined=40,
        redacted=3,
        groups=[admin.RetryRunGroup(event_type="hang", error_class="TimeoutError", count=40)],
        live_rate_per_second=2.5,
        allowed_rate_per_second=5,
        message="40 of 40 dead letters would be retried.",
    )
)


@pytest.mark.parametrize("command", ["list", "show"])
def test_runs_fit_into_80_columns(
    command: str, service: ScriptedService, ringback: Ringback, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("COLUMNS", "80"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    service.answer = answers(LISTED if command == "list" else admin.GetRetryRunResponse(run=RUN))

    ended = ringback("runs", command, *([] if command == "list" else [DEAD]))

    plain = STYLE.sub("", ended.out)
    text = " ".join(plain.split())
    assert max(map(len, plain.splitlines())) <= 80
    for words in (DEAD, "completed webhooks", "held", "anna@laptop", "The handler booked"):
        assert words in text


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("pause", admin.PauseRetryRunResponse(run=RUN)),
        ("resume", admin.ResumeRetryRunResponse(run=RUN)),
        ("stop", admin.StopRetryRunResponse(run=RUN)),
    ],
)
def test_a_run_is_named_by_the_beginning_of_its_id(
    command: str, answer: admin.PauseRetryRunResponse, service: ScriptedService, ringback: Ringback
) -> None:
    service.answer = answers(LISTED, answer)

    ended = ringback("runs", command, DEAD[:9], "--reason", "It is slow.", "--json")

    assert orjson.loads(ended.out)["runId"] == DEAD
    assert (service.requests[1].run_id, service.requests[1].reason) == (DEAD, "It is slow.")


def test_an_unknown_beginning_is_refused(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(LISTED)

    ended = ringback("runs", "stop", NEW[-5:])

    assert ended.status == 1
    assert "No run begins with" in ended.err


def test_a_detached_retry_is_created_once(service: ScriptedService, ringback: Ringback) -> None:
    """It has a request id, so that it can be repeated if the answer is lost."""
    service.answer = answers(admin.CreateRetryRunResponse(run=RUN))

    ended = ringback("dead", "retry", "--all", "--reason", "Fixed.", "--yes", "--detach")

    [request] = service.requests
    assert ended.status == 0
    assert f"ringback runs show {DEAD[:18]}" in ended.out
    assert (request.reason, request.rate_per_second) == ("Fixed.", 10)
    assert len(request.request_id) == 36


def test_a_replay_is_previewed(service: ScriptedService, ringback: Ringback) -> None:
    """A dry run needs no reason."""
    service.answer = answers(PREVIEW)

    ended = ringback("runs", "replay", "--event-type", "hang", "--since", "3h", "--dry-run")

    [request] = service.requests
    assert ended.status == 0
    assert (request.kind, request.dry_run) == (admin.RETRY_RUN_KIND_COMPLETED, True)
    assert request.filter.HasField("start_time")
    for words in (
        "40 of 40",
        "TimeoutError",
        "Redacted: 3 of the 40 oldest",
        "2.5 webhooks arrive",
    ):
        assert words in ended.out


@pytest.mark.usefixtures("no_settings")
def test_a_replay_needs_a_reason_and_a_confirmation(ringback: Ringback) -> None:
    replay = ("runs", "replay", "--event-type", "hang", "--since", "3h")

    without_override = ringback(*replay, "--reason", "It was wrong.", "--yes")
    without_reason = ringback(*replay, "--override-dedup")
    without_terminal = ringback(*replay, "--override-dedup", "--reason", "Wrong.", "--json")

    assert without_override.status == without_reason.status == without_terminal.status == 2
    assert "needs --override-dedup" in without_override.error
    assert "A replay of many needs a reason" in without_reason.error
    assert "Use --yes to replay without asking" in without_terminal.error
