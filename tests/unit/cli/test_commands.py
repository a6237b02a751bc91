"""What commands request, print and return."""

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # runs the command
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest

from ringback.cli.client.probes import ServiceHealth
from ringback.cli.views.status_view import stack_line
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.admin_service_pb2 import RetryRunState
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, FIRST, NEW, at, retried
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
    answers,
    dead_letter_page,
)

offline = pytest.mark.usefixtures("no_settings")

COMPLETE = """
source "$1"
COMP_WORDS=(ringback dead di) COMP_CWORD=2; _ringback; echo "${COMPREPLY[@]}"
COMP_WORDS=(ringback dead list --err) COMP_CWORD=3; _ringback; echo "${COMPREPLY[@]}"
"""
GATEWAY_AWAY = "The gateway at http://127.0.0.1:1/api/webhooks/vapi cannot be reached"
METRICS_AWAY = "The metrics service at 127.0.0.1:1 cannot be reached."


def health(*, waiting: int = 5, ok: bool = True) -> metrics.GetQueueHealthResponse:
    answer = metrics.GetQueueHealthResponse(healthy=ok, timestamp=at(0), dead_letters=1)
    answer.metrics.waiting = waiting
    answer.checks.add(name="waiting", ok=ok, value=waiting, limit=100, message="So many wait.")
    return answer


@offline
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("sned", "Did you mean"),
        ("sned", "See `ringback --help`."),
        ("delivery show", "See `ringback delivery show --help`."),
        ("send", "requires an argument"),
        ("send hang --count many", "--count"),
        ("send hang --count 0", ">= 1"),
        ("send hang --rate -1", "--rate"),
        ("send hang --url nowhere", "'nowhere' is not a URL"),
        ("send hang --url http://h:port", "is not a URL"),
        ("send end-of-call-reprot", "Did you mean end-of-call-report?"),
        ("send zzz", "Samples: assistant-request, assistant.speechStarted"),
        ("send gone.json", "The file gone.json does not exist."),
        ("topology aply", "Did you mean"),
        ("topology change --to soon", "'soon' is not a retry schedule"),
        ("dead retry", "Give a job id"),
        ("dead retry --reason All. --yes", "--all for all dead letters"),
        (f"dead retry {DEAD} --all", "not both"),
        (f"dead retry {DEAD} --dry-run", "--dry-run and --detach are for many"),
        ("dead retry --all --yes", "needs a reason"),
        ("dead retry --all --reason All.", "Use --yes to retry without asking"),
        (
            "dead retry --all --since noon --dry-run",
            "'noon' is not a time. Use 2026-01-27T06:30 (UTC), or 2h",
        ),
        ("failures --limit 1000", "<= 100"),
        ("waiting now --reason Now.", "Give a job id"),
        (f"waiting cancel {DEAD} --why retry --reason No.", "not both"),
        ("waiting cancel --why retry --reason No.", "Use --yes to cancel without asking"),
        ("waiting list --why boredom", "--why"),
        ("pause", "--reason"),
        ("token --role tenant", "needs an organisation"),
        ("token --role service --org x", "Leave out --org"),
        ("token --role service --ttl 2w", "'2w' is not a valid --ttl"),
        ("token --role service", "Start a local stack"),
    ],
)
def test_bad_input_is_one_sentence(words: str, sentence: str, ringback: Ringback) -> None:
    """Invalid input exits with status 2, and stderr names the problem and the valid form."""
    ended = ringback(*words.split())

    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.error


@offline
def test_every_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, ringback: Ringback) -> None:
    monkeypatch.setenv("RINGBACK_AMQP_URL", "http://somewhere")
    monkeypatch.setenv("RINGBACK_RETRY_SCHEDULE", "2 apples")

    ended = ringback("topology", "apply")

    assert ended.status == 2
    assert "RINGBACK_AMQP_URL" in ended.err
    assert "RINGBACK_RETRY_SCHEDULE" in ended.err


@offline
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("send hang", GATEWAY_AWAY),
        ("send hang --count 500", "cannot be reached"),
        ("migrate", ":1/ringback cannot be reached ("),
        ("demo", ":1/ringback cannot be reached."),
        ("topology check", "The broker at 127.0.0.1:1/%2F cannot be reached"),
        ("health", METRICS_AWAY),
        ("watch", METRICS_AWAY),
    ],
)
def test_an_unreachable_service_is_named_with_a_hint(
    words: str, sentence: str, ringback: Ringback
) -> None:
    """The status is 1, and the error names the command that starts it."""
    ended = ringback(*words.split())

    assert ended.status == 1
    assert sentence in ended.err
    assert "ringback up" in ended.err
    assert "Traceback" not in ended.err


@offline
def test_down_without_a_stack_is_no_error(ringback: Ringback) -> None:
    assert ringback("down") == (0, "No local stack runs in .ringback.\n", "")


def test_health_shows_the_queues_while_the_database_is_unavailable(
    service: ScriptedService, ringback: Ringback
) -> None:
    """With since when; numbers that it never had are left out."""
    answer = metrics.GetQueueHealthResponse(
        sources=[
            metrics.HealthSource(name="broker", ok=True, read_at=at(5)),
            metrics.HealthSource(name="database", read_at=at(0)),
        ],
        rates=metrics.WebhookRates(accepted=4),
        oldest=metrics.OldestWebhooks(pending_s=180),
    )
    service.answer = answers(answer)

    shown = ringback("health")

    assert shown.status == 1
    assert "Not healthy: the database is unavailable since 06:30:00 UTC" in shown.out
    assert "4.0 accepted" in shown.out
    assert "at least 3 min (pending) old" in shown.out
    assert "waiting" not in shown.out


def test_health_exits_with_1_if_a_threshold_is_exceeded(
    service: ScriptedService, ringback: Ringback
) -> None:
    """The headline names the check; the call has the given token."""
    service.answer = answers(health(), health(waiting=5000, ok=False))

    healthy, not_healthy = ringback("health"), ringback("health")

    assert (healthy.status, not_healthy.status) == (0, 1)
    assert healthy.out.startswith("Healthy")
    assert "Not healthy: waiting " in not_healthy.out
    assert "5,000" in not_healthy.out
    assert service.tokens == ["Bearer given"] * 2


@pytest.mark.parametrize("words", ["stats 7d", "stats --range 7d"])
def test_stats_separate_failed_from_dead(
    words: str, service: ScriptedService, ringback: Ringback
) -> None:
    """REST counts dead letters among the failed webhooks of a type; the table does not."""
    answer = metrics.GetDeliveryStatsResponse(time_range="7d", start_time=at(0), end_time=at(60))
    answer.summary.success_rate = "98.08%"
    counts = answer.by_event_type["hang"]
    counts.total, counts.failed, counts.dead_letter = 43, 3, 1
    service.answer = answers(answer)

    ended = ringback(*words.split())

    [row] = [line.split() for line in ended.out.splitlines() if line.startswith("hang")]
    assert (ended.status, row) == (0, ["hang", "43", "0", "2", "1", "0", "0"])
    assert "98.08%" in ended.out
    assert service.requests[0].range == "7d"


@pytest.mark.parametrize(
    ("command", "answer", "notes"),
    [
        (
            "dead retry",
            admin.RetryDeliveryResponse(
                altered=True, redacted=True, state=admin.RetryState.RETRY_STATE_QUEUED
            ),
            ("in a moment", "differs from the received one", "credentials of the original"),
        ),
        (
            "delivery run",
            admin.RunDuplicateResponse(duplicate_of=FIRST),
            (f"recognised as a duplicate of  {FIRST}\n",),
        ),
    ],
)
def test_a_retry_prints_the_new_job_id_and_notes(
    command: str, answer: Any, notes: tuple[str, ...], service: ScriptedService, ringback: Ringback
) -> None:
    """Also how to follow it; the request has the reason."""
    answer.message, answer.new_job_id = "Webhook re-queued.", NEW
    service.answer = answers(answer)

    ended = ringback(*command.split(), DEAD, "--reason", "The shop is back.")

    assert ended.status == 0
    assert ended.out.startswith("Webhook re-queued.\n")
    assert f"ringback delivery show {NEW}" in ended.out
    assert all(part in ended.out for part in notes)
    [request] = service.requests
    assert (request.job_id, request.reason) == (DEAD, "The shop is back.")


def test_only_dead_letters_are_shown_as_such(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(retried(DeliveryStatus.DELIVERY_STATUS_COMPLETED))

    ended = ringback("dead", "show", DEAD)

    assert ended.status == 1
    assert "not a dead letter but completed" in ended.error


def test_all_dead_letters_come_one_per_line(service: ScriptedService, ringback: Ringback) -> None:
    """--all reads every page; each line is a document."""
    pages = {"": dead_letter_page("a", "b", then="next"), "next": dead_letter_page("c")}
    service.answer = lambda request: pages[request.page_token]

    ended = ringback("dead", "list", "--all", "--json", "--event-type", "hang")

    assert ended.status == 0
    assert [orjson.loads(line)["jobId"] for line in ended.out.splitlines()] == ["a", "b", "c"]
    assert {request.event_type for request in service.requests} == {"hang"}


@pytest.mark.parametrize(
    ("state", "status"),
    [(RetryRunState.RETRY_RUN_STATE_FINISHED, 0), (RetryRunState.RETRY_RUN_STATE_STOPPED, 1)],
)
def test_a_bulk_retry_is_summarised(
    state: RetryRunState.ValueType, status: int, service: ScriptedService, ringback: Ringback
) -> None:
    running = RetryRunState.RETRY_RUN_STATE_RUNNING
    first = admin.RetryDeliveriesResponse(state=running, matched=40, retried=3)
    last = admin.RetryDeliveriesResponse(
        state=state, matched=40, retried=7, completed=4, failed_again=3, message="Enough."
    )
    service.answer = answers(first, last, LastAnswerError())

    ended = ringback("dead", "retry", "--event-type", "hang", "--reason", "Fixed.", "--yes")

    numbers = dict(re.findall(r"^ *([a-z ]+?)  +(.*?) *$", ended.out, re.MULTILINE))
    request = service.requests[0]
    assert ended.status == status
    assert (numbers["retried"], numbers["failed again"]) == ("7", "3")
    assert numbers.get("ended") == (None if status == 0 else "Enough.")
    assert (request.reason, request.limit, request.rate_per_second) == ("Fixed.", 1000, 10)


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 1, "rejected the token from RINGBACK_TOKEN: So it is."),
        (grpc.StatusCode.PERMISSION_DENIED, 1, "Not allowed: So it is."),
        (grpc.StatusCode.NOT_FOUND, 1, "Error: So it is."),
        (grpc.StatusCode.FAILED_PRECONDITION, 1, f"So it is. `ringback delivery show {NEW}`"),
        (grpc.StatusCode.INVALID_ARGUMENT, 2, "Error: So it is."),
        (grpc.StatusCode.UNAVAILABLE, 1, "is temporarily unavailable: So it is."),
        (grpc.StatusCode.INTERNAL, 1, "failed: So it is. (INTERNAL)"),
    ],
)
def test_an_error_of_the_service_is_one_sentence(
    code: grpc.StatusCode, status: int, sentence: str, service: ScriptedService, ringback: Ringback
) -> None:
    service.answer = answers(RefusedError(code, "A_REASON", "So it is.", newJobId=NEW))

    ended = ringback("dead", "retry", DEAD)

    assert ended.status == status
    assert sentence in ended.error


@pytest.mark.parametrize(
    ("code", "reason", "message", "sentence"),
    [
        ("INVALID_ARGUMENT", "", "filter.org_id must be a UUID.", "Error: --org must be a UUID."),
        ("INVALID_ARGUMENT", "", "end_time must be after start_time.", "--until must be after --s"),
        ("FAILED_PRECONDITION", "NOT_A_DEAD_LETTER", "It is not.", "shows its state"),
    ],
)
def test_an_error_names_what_the_user_typed(
    code: str,
    reason: str,
    message: str,
    sentence: str,
    service: ScriptedService,
    ringback: Ringback,
) -> None:
    """The API's fields have the names of options, and the next step is a command."""
    service.answer = answers(RefusedError(grpc.StatusCode[code], reason, message))

    assert sentence in ringback("dead", "retry", DEAD).error


def test_watch_survives_an_outage_of_the_service(
    service: ScriptedService, ringback: Ringback
) -> None:
    """A pipe gets a line for each update; a rejected token ends it."""
    seven_wait = metrics.WatchQueueHealthResponse(health=health(waiting=7))
    next_update = answers(
        *(seven_wait, seven_wait),
        RefusedError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "Wait."),
        seven_wait,
        RefusedError(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "Too old."),
    )

    def answer(request: Any) -> Any:
        is_stats = isinstance(request, metrics.GetDeliveryStatsRequest)
        return metrics.GetDeliveryStatsResponse() if is_stats else next_update(request)

    service.answer = answer

    ended = ringback("watch")

    assert ended.status == 1
    assert "Too old." in ended.err
    assert len(ended.out.splitlines()) == 3
    assert ended.out.startswith("06:30:00  healthy  waiting 7  active 0")


@offline
def test_status_as_json_names_what_is_unavailable(ringback: Ringback) -> None:
    """What could be read is there; the rest is null."""
    ended = ringback("status", "--json")

    document = orjson.loads(ended.out)
    assert ended.status == 1
    assert (document["stack"], document["queues"], document["webhooks"]) == (None, None, None)
    assert len(document["errors"]) == 2
    gateway, _, rest = document["services"]
    assert gateway["addresses"] == ["http://127.0.0.1:1/api/webhooks/vapi"]
    assert (gateway["name"], rest["name"], rest["missing"]) == ("gateway", "metrics", [])


def test_completion_knows_subcommands_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "completion"

    installed = ringback("--install-completion", "--shell", "bash", "--output", str(script))

    assert installed.status == 0
    completed = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(script)], capture_output=True, check=True, text=True
    ).stdout
    assert completed.split() == ["discard", "--error-class"]


@pytest.mark.parametrize(("is_up", "words"), [(True, "use --data"), (False, "")])
def test_status_says_whose_services_answer(*, is_up: bool, words: str) -> None:
    """Without a stack in this folder, those of another one may answer on the same ports."""
    found = ServiceHealth("gateway", "http://127.0.0.1:9101", answers=is_up, ready=is_up)

    line = str(stack_line(None, Path(".ringback"), [found]))

    assert line.startswith("No local stack runs in .ringback")
    assert words in line
