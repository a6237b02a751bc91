import re
from pathlib import Path

import pytest

from ringback.cli.app import run

pytestmark = pytest.mark.usefixtures("no_settings")

COMMANDS = (
    *("up", "down", "status", "demo", "send"),
    *("health", "watch", "stats", "failures", "delivery"),
    *("dead", "pause", "resume", "spool"),
    *("migrate", "topology", "token"),
)
NAMED = (
    *("AMQP_URL", "DATABASE_URL", "GATEWAY_URL", "VAPI_SECRET", "RETRY_SCHEDULE"),
    *("METRICS_URL", "JWT_SECRET", "JWT_PRIVATE_KEY_FILE"),
)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a local stack, ports where nothing listens, and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in NAMED:
        monkeypatch.delenv(f"RINGBACK_{name}", raising=False)
    monkeypatch.setenv("RINGBACK_TOKEN", "given")
    for name in ("LOCAL_AMQP", "LOCAL_DATABASE", "GATEWAY", "METRICS_GRPC"):
        monkeypatch.setenv(f"RINGBACK_{name}_PORT", "1")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`ringback --help` lists the commands and shows how to use them."""
    status = run(["--help"])

    told = capsys.readouterr().out
    assert status == 0
    assert all(re.search(rf"│ {command} ", told) for command in COMMANDS)
    assert "ringback dead retry JOB" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of a command shows more than the list does."""
    status = run([command, "--help"])

    assert status == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


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
        (["dead", "retry"], "Give a job id"),
        (["dead", "retry", "--all", "--since", "noon", "--dry-run"], "'noon' is not a time"),
        (["failures", "--limit", "1000"], "<= 100"),
        (["pause"], "--reason"),
        (["token", "--role", "tenant"], "needs an organisation"),
        (["token", "--role", "service", "--org", "x"], "Leave out --org"),
        (["token", "--role", "service"], "Start a local stack"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invalid input exits with status 2, and stderr names the problem."""
    status = run(arguments)

    told = capsys.readouterr()
    assert status == 2
    assert sentence in told.err
    assert not told.out


def test_every_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that cannot be used are listed together, by their names."""
    monkeypatch.setenv("RINGBACK_AMQP_URL", "http://somewhere")
    monkeypatch.setenv("RINGBACK_RETRY_SCHEDULE", "2 apples")

    status = run(["topology", "apply"])

    told = capsys.readouterr().err
    assert status == 2
    assert "RINGBACK_AMQP_URL" in told
    assert "RINGBACK_RETRY_SCHEDULE" in told


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
def test_what_is_not_there_is_one_sentence_and_a_hint(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """If nothing listens, the status is 1 and the error names what to start."""
    status = run(arguments)

    told = capsys.readouterr().err
    assert status == 1
    assert sentence in told
    assert "ringback up" in told
    assert "Traceback" not in told


def test_a_fault_of_ours_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tracebacks are shown only on request."""
    monkeypatch.setattr("ringback.cli.commands.send.payload_of", lambda _: 1 / 0)

    status = run(["send", "hang"])

    told = capsys.readouterr().err
    assert status == 1
    assert "Unexpected error in Ringback: ZeroDivisionError" in told
    assert "Traceback" not in told


def test_down_says_when_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Stopping when nothing runs is not an error."""
    status = run(["down"])

    assert status == 0
    assert capsys.readouterr().out == "No local stack runs in .ringback.\n"
