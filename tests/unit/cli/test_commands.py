"""What commands request, print and return."""

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # runs the command
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.cli.app import run
from ringback.local.jwt_secret import local_secret
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.admin_service_pb2 import RetryRunState
from ringback.metrics.v1.delivery_pb2 import AttemptOutcome, DeliveryStatus, Resolution
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
    dead_letter_page,
)

Captured = pytest.CaptureFixture[str]
offline = pytest.mark.usefixtures("no_settings")

COMMANDS = (
    *("up", "down", "status", "demo", "send", "health", "watch", "stats", "failures", "delivery"),
    *("trace", "dead", "pause", "resume", "spool", "migrate", "topology", "housekeeping", "token"),
)
SEPARATOR = "=" * 20
EXPLAIN = f"""
import sys
from ringback.cli.app import run
for command in sys.argv[1:]:
    print("{SEPARATOR}", flush=True)
    assert run([command, "--help"]) == 0
"""
DEAD = "019bfe18-fd80-7000-8000-00000000dead"
FIRST = "019bfe18-fd80-7000-8000-000000000001"
NEW = "019bfe18-fd80-7000-8000-000000000002"
ORG = "00000000-0000-0000-0000-000000000001"
SECRET = "a configured secret of enough bytes"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def at(seconds: float) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime(2026, 1, 27, 6, 30, tzinfo=UTC) + timedelta(seconds=seconds))
    return timestamp


def health(*, waiting: int = 5, ok: bool = True) -> metrics.GetQueueHealthResponse:
    answer = metrics.GetQueueHealthResponse(healthy=ok, timestamp=at(0), dead_letters=1)
    answer.metrics.waiting = waiting
    answer.checks.add(name="waiting", ok=ok, value=waiting, limit=100, message="So many wait.")
    return answer


def retried(status: DeliveryStatus.ValueType) -> metrics.GetDeliveryResponse:
    """A webhook that Anna retried 90 s after it arrived."""
    answer = metrics.GetDeliveryResponse()
    delivery, retry = answer.delivery, answer.retried_as
    delivery.job_id, delivery.event_type, delivery.status = DEAD, "tool-calls", status
    delivery.resolution = Resolution.RESOLUTION_RETRIED
    delivery.created_at.CopyFrom(at(0))
    retry.job_id, retry.new_job_id = DEAD, NEW
    retry.actor, retry.reason = "anna@laptop", "The shop is back."
    retry.created_at.CopyFrom(at(90))
    retry.published_at.CopyFrom(at(91))
    return answer


@offline
def test_help_lists_and_explains_every_command(capsys: Captured) -> None:
    """`ringback --help` has a line for each command, and its own help is longer.

    The commands explain themselves in a new process: listing one here replaces its help for good.
    """
    assert run(["--help"]) == 0
    whole = capsys.readouterr().out
    own_help = subprocess.run(
        [sys.executable, "-c", EXPLAIN, *COMMANDS], capture_output=True, check=True, text=True
    ).stdout.split(SEPARATOR)[1:]

    assert len(own_help) == len(COMMANDS)
    for command, text in zip(COMMANDS, own_help, strict=True):
        assert re.search(rf"│ {command} ", whole)
        assert f"Usage: ringback {command}" in text
        assert len(text.strip().splitlines()) > 3, text


@offline
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sned"], "Did you mean"),
        (["send"], "requires an argument"),
        (["send", "hang", "--count", "many"], "--count"),
        (["send", "hang", "--count", "0"], ">= 1"),
        (["send", "hang", "--rate", "-1"], "--rate"),
        (["send", "hang", "--url", "nowhere"], "'nowhere' is not a URL"),
        (["send", "hang", "--url", "http://h:port"], "is not a URL"),
        (["send", "end-of-call-reprot"], "Did you mean end-of-call-report?"),
        (["send", "zzz"], "Samples: assistant-request, assistant.speechStarted"),
        (["send", "gone.json"], "The file gone.json does not exist."),
        (["topology", "aply"], "Did you mean"),
        (["topology", "change", "--to", "soon"], "'soon' is not a retry schedule"),
        (["dead", "retry"], "Give a job id"),
        (["dead", "retry", "--reason", "All.", "--yes"], "--all for all dead letters"),
        (["dead", "retry", DEAD, "--all"], "not both"),
        (["dead", "retry", "--all", "--yes"], "needs a reason"),
        (["dead", "retry", "--all", "--reason", "All."], "Use --yes to retry without asking"),
        (["dead", "retry", "--all", "--since", "noon", "--dry-run"], "'noon' is not a time"),
        (["failures", "--limit", "1000"], "<= 100"),
        (["pause"], "--reason"),
        (["token", "--role", "tenant"], "needs an organisation"),
        (["token", "--role", "service", "--org", "x"], "Leave out --org"),
        (["token", "--role", "service", "--ttl", "2w"], "'2w' is not a valid --ttl"),
        (["token", "--role", "service"], "Start a local stack"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str, capsys: Captured) -> None:
    """Invalid input exits with status 2, and stderr names the problem and the valid form."""
    status = run(arguments)

    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert sentence in " ".join(printed.err.split())


@offline
def test_every_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("RINGBACK_AMQP_URL", "http://somewhere")
    monkeypatch.setenv("RINGBACK_RETRY_SCHEDULE", "2 apples")

    status = run(["topology", "apply"])

    printed = capsys.readouterr().err
    assert status == 2
    assert "RINGBACK_AMQP_URL" in printed
    assert "RINGBACK_RETRY_SCHEDULE" in printed


@offline
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["send", "hang"], "The gateway at http://127.0.0.1:1/api/webhooks/vapi cannot be reached"),
        (["send", "hang", "--count", "500"], "cannot be reached"),
        (["migrate"], "The database cannot be reached"),
        (["demo"], ":1/ringback cannot be reached."),
        (["topology", "check"], "The broker cannot be reached"),
        (["health"], "The metrics service at 127.0.0.1:1 cannot be reached."),
        (["watch"], "The metrics service at 127.0.0.1:1 cannot be reached."),
        (["dead", "retry", "x"], "The metrics service at 127.0.0.1:1 cannot be reached."),
    ],
)
def test_an_unreachable_service_is_named_with_a_hint(
    arguments: list[str], sentence: str, capsys: Captured
) -> None:
    """The status is 1, and the error names the command that starts it."""
    status = run(arguments)

    printed = capsys.readouterr().err
    assert status == 1
    assert sentence in printed
    assert "ringback up" in printed
    assert "Traceback" not in printed


@offline
def test_down_without_a_stack_is_no_error(capsys: Captured) -> None:
    status = run(["down"])

    assert (status, capsys.readouterr().out) == (0, "No local stack runs in .ringback.\n")


def test_health_exits_with_1_if_a_threshold_is_exceeded(
    service: ScriptedService, capsys: Captured
) -> None:
    """The headline names the check; the call has the given token."""
    answers = iter([health(), health(waiting=5000, ok=False)])
    service.answer = lambda _: next(answers)

    assert (run(["health"]), run(["health"])) == (0, 1)

    printed = capsys.readouterr().out
    assert printed.startswith("Healthy")
    assert "Not healthy: waiting " in printed
    assert "5,000" in printed
    assert service.tokens == ["Bearer given"] * 2


def test_stats_separate_failed_from_dead(service: ScriptedService, capsys: Captured) -> None:
    """REST counts dead letters among the failed webhooks of a type; the table does not."""
    answer = metrics.GetDeliveryStatsResponse(time_range="7d", start_time=at(0), end_time=at(60))
    answer.summary.success_rate = "98.08%"
    counts = answer.by_event_type["hang"]
    counts.total, counts.failed, counts.dead_letter = 43, 3, 1
    service.answer = lambda _: answer

    status = run(["stats", "--range", "7d"])

    printed = capsys.readouterr().out
    [row] = [line.split() for line in printed.splitlines() if line.startswith("hang")]
    assert (status, row) == (0, ["hang", "43", "0", "2", "1", "0", "0"])
    assert "98.08%" in printed
    assert service.requests[0].range == "7d"


def test_a_delivery_is_a_timeline(service: ScriptedService, capsys: Captured) -> None:
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
    service.answer = lambda _: answer

    status = run(["delivery", "show", DEAD])

    printed = capsys.readouterr().out
    entries = re.findall(
        r"^  \d\d:\d\d:\d\d\.\d{3}  (\S*(?: ms| s| min)?)\s+(.*)$", printed, re.MULTILINE
    )
    assert status == 0
    assert entries == [
        ("", "accepted"),
        ("+20 ms", "attempt 1  failed  in 400 ms"),
        ("+2.1 s", "attempt 2  failed  in 400 ms"),
        ("+400 ms", "became a dead letter"),
        ("+1 min", f"retried as {NEW}"),
    ]
    assert "by anna@laptop: The shop is back." in printed
    assert printed.count("trace 4bf92f3577b34da6a3ce929d0e0e4736") == 1


def test_a_run_duplicate_is_shown_on_both_sides(service: ScriptedService, capsys: Captured) -> None:
    duplicate = retried(DeliveryStatus.DELIVERY_STATUS_DUPLICATE)
    duplicate.retried_as.duplicate_of = FIRST
    new = metrics.GetDeliveryResponse(delivery=duplicate.delivery, retry_of=duplicate.retried_as)
    answers = iter([duplicate, new])
    service.answer = lambda _: next(answers)

    run(["delivery", "show", DEAD])
    run(["delivery", "show", NEW])

    printed = capsys.readouterr().out
    assert "duplicate, run anyway" in printed
    assert f"run anyway as {NEW}" in printed
    assert f"accepted, to run {DEAD}, which was recognised as a duplicate of {FIRST}" in printed


@pytest.mark.parametrize(
    ("command", "answer", "notes"),
    [
        (
            ["dead", "retry"],
            admin.RetryDeliveryResponse(
                altered=True, redacted=True, state=admin.RetryState.RETRY_STATE_QUEUED
            ),
            ("in a moment", "differs from the received one", "credentials of the original"),
        ),
        (
            ["delivery", "run"],
            admin.RunDuplicateResponse(duplicate_of=FIRST),
            (f"recognised as a duplicate of  {FIRST}\n",),
        ),
    ],
)
def test_a_retry_prints_the_new_job_id_and_notes(
    command: list[str],
    answer: Any,
    notes: tuple[str, ...],
    service: ScriptedService,
    capsys: Captured,
) -> None:
    """Also how to follow it; the request has the reason."""
    answer.message, answer.new_job_id = "Webhook re-queued.", NEW
    service.answer = lambda _: answer

    status = run([*command, DEAD, "--reason", "The shop is back."])

    printed = capsys.readouterr().out
    assert status == 0
    assert printed.startswith("Webhook re-queued.\n")
    assert f"ringback delivery show {NEW}" in printed
    assert all(part in printed for part in notes)
    [request] = service.requests
    assert (request.job_id, request.reason) == (DEAD, "The shop is back.")


def test_only_dead_letters_are_shown_as_such(service: ScriptedService, capsys: Captured) -> None:
    service.answer = lambda _: retried(DeliveryStatus.DELIVERY_STATUS_COMPLETED)

    status = run(["dead", "show", DEAD])

    assert status == 1
    assert "not a dead letter but completed" in " ".join(capsys.readouterr().err.split())


def test_all_dead_letters_come_one_per_line(service: ScriptedService, capsys: Captured) -> None:
    """--all reads every page; each line is a document."""
    pages = {"": dead_letter_page("a", "b", then="next"), "next": dead_letter_page("c")}
    service.answer = lambda request: pages[request.page_token]

    status = run(["dead", "list", "--all", "--json", "--event-type", "hang"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [orjson.loads(line)["jobId"] for line in lines] == ["a", "b", "c"]
    assert {request.event_type for request in service.requests} == {"hang"}


@pytest.mark.parametrize(
    ("state", "status"),
    [(RetryRunState.RETRY_RUN_STATE_FINISHED, 0), (RetryRunState.RETRY_RUN_STATE_STOPPED, 1)],
)
def test_a_bulk_retry_is_summarised(
    state: RetryRunState.ValueType, status: int, service: ScriptedService, capsys: Captured
) -> None:
    running = RetryRunState.RETRY_RUN_STATE_RUNNING
    first = admin.RetryDeliveriesResponse(state=running, matched=40, retried=3)
    last = admin.RetryDeliveriesResponse(
        state=state, matched=40, retried=7, completed=4, failed_again=3, message="Enough."
    )
    service.answer = until_exhausted(iter([first, last]))

    ended = run(["dead", "retry", "--event-type", "hang", "--reason", "Fixed.", "--yes"])

    printed = capsys.readouterr().out
    numbers = dict(re.findall(r"^ *([a-z ]+?)  +(.*?) *$", printed, re.MULTILINE))
    request = service.requests[0]
    assert ended == status
    assert (numbers["retried"], numbers["failed again"]) == ("7", "3")
    assert numbers.get("ended") == (None if status == 0 else "Enough.")
    assert (request.reason, request.limit, request.rate_per_second) == ("Fixed.", 1000, 10)


def until_exhausted(answers: Any) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        try:
            return next(answers)
        except StopIteration:
            raise LastAnswerError from None

    return answer


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
    code: grpc.StatusCode, status: int, sentence: str, service: ScriptedService, capsys: Captured
) -> None:
    def refuse(_: Any) -> Any:
        raise RefusedError(code, "A_REASON", "So it is.", newJobId=NEW)

    service.answer = refuse

    ended = run(["dead", "retry", DEAD])

    assert ended == status
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_watch_survives_an_outage_of_the_service(
    service: ScriptedService, capsys: Captured
) -> None:
    """A pipe gets a line for each update; a rejected token ends it."""
    unavailable = RefusedError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "Wait.")
    rejected = RefusedError(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "Too old.")
    updates = iter([None, None, unavailable, None, rejected])

    def answer(request: Any) -> Any:
        if isinstance(request, metrics.GetDeliveryStatsRequest):
            return metrics.GetDeliveryStatsResponse()
        failure = next(updates)
        if failure is not None:
            raise failure
        return metrics.WatchQueueHealthResponse(health=health(waiting=7))

    service.answer = answer

    status = run(["watch"])

    printed = capsys.readouterr()
    assert status == 1
    assert "Too old." in printed.err
    assert len(printed.out.splitlines()) == 3
    assert printed.out.startswith("06:30:00  healthy  waiting 7  active 0")


def claims_of(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], audience="ringback")
    return claims


@offline
def test_a_token_is_the_only_line_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It is signed with the configured secret, else with the key of the local stack."""
    Path(".ringback").mkdir()
    local = local_secret(Path(".ringback"))

    run(["token", "--role", "tenant", "--org", ORG, "--ttl", "15m"])
    by_stack = capsys.readouterr()
    monkeypatch.setenv("RINGBACK_JWT_SECRET", SECRET)
    monkeypatch.setenv("RINGBACK_JWT_ISSUER", "us")
    run(["token", "--role", "service", "--subject", "grafana"])
    configured = claims_of(capsys.readouterr().out.strip(), SECRET, "HS256")

    claims = claims_of(by_stack.out.removesuffix("\n"), local, "HS256")
    assert (claims["role"], claims["org_id"]) == ("tenant", ORG)
    assert claims["exp"] - time.time() == pytest.approx(900, abs=60)
    assert "@" in claims["sub"]
    assert "signed with .ringback/jwt.secret" in by_stack.err
    assert local not in by_stack.err
    assert (configured["sub"], configured["iss"]) == ("grafana", "us")
    assert "org_id" not in configured


@offline
@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_decides_the_algorithm(
    algorithm: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    key = KEYS[algorithm]
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    Path("key.pem").write_bytes(pem)
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    status = run(["token", "--role", "service", "--kid", "2026"])

    token = capsys.readouterr().out.strip()
    assert status == 0
    assert claims_of(token, key.public_key(), algorithm)["role"] == "service"
    assert jwt.get_unverified_header(token)["kid"] == "2026"


@offline
@pytest.mark.parametrize(
    ("key", "sentence"),
    [(None, "cannot be read"), ("not a key", "does not contain a private key")],
)
def test_a_bad_key_is_one_sentence(
    key: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    if key is not None:
        Path("key.pem").write_text(key, encoding="utf-8")
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    status = run(["token", "--role", "service"])

    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert sentence in printed.err
