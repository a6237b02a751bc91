"""Every view shows untrusted values as text, on every terminal, without failing."""

import io
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import orjson
import pytest
from cyclopts import App

from ringback.cli.app import build_app, run
from ringback.cli.terminal import complain
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from tests.unit.cli.hostile import (
    FORGED,
    HOSTILE,
    LONG,
    MARKUP,
    Printing,
    assert_harmless,
    hostile,
)
from tests.unit.cli.test_trace import JOB
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
)

REASON = ["--reason", "Why."]


def stream(message: Any) -> Callable[[Any], Any]:
    """One answer, then the end of the stream."""
    answers = iter([message])

    def answer(_: Any) -> Any:
        try:
            return next(answers)
        except StopIteration:
            raise LastAnswerError from None

    return answer


def dead(text: str) -> metrics.GetDeliveryResponse:
    answer = metrics.GetDeliveryResponse()
    hostile(answer, text)
    answer.delivery.status = DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER
    return answer


def paused(text: str) -> admin.PauseProcessingResponse:
    answer = admin.PauseProcessingResponse()
    hostile(answer, text)
    answer.processing.paused = True
    return answer


#: The requests of each command, and the answers. A page has no next page.
ASKED: dict[str, tuple[list[str], Callable[[str], Any]]] = {
    "health": ([], lambda text: hostile(metrics.GetQueueHealthResponse(), text)),
    "stats": ([], lambda text: hostile(metrics.GetDeliveryStatsResponse(), text)),
    "failures": ([], lambda text: hostile(metrics.ListRecentFailuresResponse(), text)),
    "delivery show": (
        [JOB, "--event"],
        lambda text: hostile(metrics.GetDeliveryResponse(), text),
    ),
    "delivery run": ([JOB, *REASON], lambda text: hostile(admin.RunDuplicateResponse(), text)),
    "dead list": ([], lambda text: hostile(metrics.ListDeadLettersResponse(), text)),
    "dead groups": ([], lambda text: hostile(metrics.ListFailureGroupsResponse(), text)),
    "dead show": ([JOB], dead),
    "dead retry": ([JOB, *REASON], lambda text: hostile(admin.RetryDeliveryResponse(), text)),
    "dead discard": ([JOB, *REASON], lambda text: hostile(admin.DiscardDeadLetterResponse(), text)),
    "pause": (REASON, paused),
    "resume": ([], lambda text: hostile(admin.ResumeProcessingResponse(), text)),
}
#: Commands whose views are tested below, or that print no external value.
ELSEWHERE = {
    "down",
    "demo",
    "housekeeping",
    "migrate",
    "migrate wait",
    "send",
    "spool list",
    "spool salvage",
    "spool discard",
    "status",
    "token",
    "topology",
    "topology access",
    "topology apply",
    "topology check",
    "topology change",
    "topology prune",
    "topology wait",
    "trace",
    "up",
    "watch",
}


def leaves(app: App, path: str = "") -> Iterator[str]:
    """Every command that does something."""
    names = [name for name in app if not name.startswith("-")]
    if path and (app.default_command is not None or not names):
        yield path
    for name in names:
        yield from leaves(app[name], f"{path} {name}".strip())


def test_no_command_is_left_out() -> None:
    """A new command must be tested here, too."""
    assert set(leaves(build_app())) - ELSEWHERE == ASKED.keys()


@pytest.fixture(params=["pipe", "terminal"])
def _terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is a pipe, or a terminal with colours."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("command", ASKED)
def test_an_answer_is_text(service: ScriptedService, printing: Printing, command: str) -> None:
    """Markup is shown, line ends and control characters are not, and no character fails."""
    arguments, answer = ASKED[command]
    service.answer = lambda _: answer(HOSTILE)

    status, told, complaint = printing(lambda: run([*command.split(), *arguments]))

    assert status == 0, complaint
    assert_harmless(told)


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.parametrize("columns", [20, 80])
def test_a_long_word_is_no_fault(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    """On any width of terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    arguments, answer = ASKED[command]
    service.answer = lambda _: answer(LONG)

    assert run([*command.split(), *arguments]) == 0


@pytest.mark.parametrize("command", ASKED)
def test_json_is_the_answer_as_it_came(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """In UTF-8, also where the terminal has another encoding, and on one line."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    arguments, answer = ASKED[command]
    service.answer = lambda _: answer(HOSTILE)

    assert run([*command.split(), *[one for one in arguments if one != "--event"], "--json"]) == 0

    written: bytes = stdout.buffer.getvalue()
    assert written.count(b"\n") == 1
    assert HOSTILE in set(texts(orjson.loads(written)))


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_a_refusal_is_text(service: ScriptedService, printing: Printing) -> None:
    """Its sentence and its metadata come from the service."""
    refusal = RefusedError(
        grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_RETRIED", HOSTILE, newJobId=HOSTILE
    )

    def refuse(_: Any) -> Any:
        raise refusal

    service.answer = refuse

    status, _, complaint = printing(lambda: run(["dead", "retry", JOB]))

    assert status == 1
    assert_harmless(complaint)


def test_many_retries_are_text(service: ScriptedService, printing: Printing) -> None:
    """Including the figures behind the bar."""
    answer = admin.RetryDeliveriesResponse()
    hostile(answer)
    service.answer = stream(answer)

    _, told, _ = printing(lambda: run(["dead", "retry", "--all", "--yes", *REASON]))

    assert_harmless(told)


def test_a_fault_of_ours_is_text(
    service: ScriptedService,
    printing: Printing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exception texts and typed input may contain anything."""

    def broken(_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("ringback.cli.commands.health.headline", broken)
    service.answer = lambda _: hostile(metrics.GetQueueHealthResponse())

    for act, status in (
        (lambda: run(["health"]), 1),
        (lambda: run([HOSTILE]), 2),
        (lambda: complain(f"{MARKUP}\udcff"), None),
    ):
        returned, _, complaint = printing(act)
        assert returned == status
        assert_harmless(complaint)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": "C"},
    ],
    ids=str,
)
@pytest.mark.parametrize("arguments", [["health"], ["--help"], ["delivery", "show", JOB]])
def test_any_terminal_is_good_enough(
    service: ScriptedService, environment: dict[str, str], arguments: list[str]
) -> None:
    """The command as a process: it replaces characters that the encoding doesn't have."""
    service.answer = lambda request: (
        hostile(metrics.GetQueueHealthResponse())
        if isinstance(request, metrics.GetQueueHealthRequest)
        else hostile(metrics.GetDeliveryResponse())
    )

    done = subprocess.run(
        [sys.executable, "-m", "ringback.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert FORGED.encode() not in [line_.strip() for line_ in done.stdout.splitlines()]
