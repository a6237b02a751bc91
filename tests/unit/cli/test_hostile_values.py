"""Every view shows untrusted values as text, on every terminal, without failing."""

import io
import os
import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from cyclopts import App

import ringback.cli
from ringback.cli.app import build_app, run
from ringback.cli.demo_plan import acts_of
from ringback.cli.demo_screen import call_table, deliveries_table, explanations
from ringback.cli.demo_watch import Sighting, _sighting  # ruff: ignore[import-private-name]
from ringback.cli.rates import Rates
from ringback.cli.service_health import service_health
from ringback.cli.status_screen import services_table
from ringback.cli.terminal import complain, out
from ringback.cli.topology_prune import _told  # ruff: ignore[import-private-name]
from ringback.cli.watch_screen import screen
from ringback.contract.ladder import Ladder
from ringback.contract.status import Status
from ringback.local.console import never_fail_to_encode
from ringback.local.log_follow import worth_showing
from ringback.local.screen import Screen
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from ringback.runtime.rung_removal import OldRungs
from tests.support.loop_thread import LoopThread
from tests.unit.cli.hostile import FORGED, HOSTILE, LONG, MARKUP, forgeries, hostile
from tests.unit.cli.test_trace import JOB, attempt, line, of, span
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
)

LADDER = Ladder.parse("2s,4s,8s")
ENCODINGS = ["utf-8", "latin-1", "ascii"]
REASON = ["--reason", "Why."]
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


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
    "topology move",
    "topology prune",
    "topology wait",
    "trace",
    "up",
    "watch",
}
#: Modules with views, each covered by a test below or by its commands above.
SCREENS = {"dead", "deliveries", "delivery", "demo", "health", "send", "stats", "status", "trace"}
SCREENS |= {"watch"}


def leaves(app: App, path: str = "") -> Iterator[str]:
    """Every command that does something."""
    names = [name for name in app if not name.startswith("-")]
    if path and (app.default_command is not None or not names):
        yield path
    for name in names:
        yield from leaves(app[name], f"{path} {name}".strip())


def test_no_command_and_no_screen_is_left_out() -> None:
    """A new command must be tested here, too."""
    folder = Path(ringback.cli.__file__).parent

    assert set(leaves(build_app())) - ELSEWHERE == ASKED.keys()
    assert {path.stem.removesuffix("_screen") for path in folder.glob("*_screen.py")} == SCREENS


class Printing:
    """Runs something on terminals of one encoding, and returns its result and its output."""

    def __init__(self, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._encoding = encoding
        self._monkeypatch = monkeypatch

    def __call__(self, act: Callable[[], object]) -> tuple[object, str, str]:
        written = [io.BytesIO(), io.BytesIO()]
        with self._monkeypatch.context() as patch:
            for name, raw in zip(("stdout", "stderr"), written, strict=True):
                patch.setattr(sys, name, io.TextIOWrapper(raw, self._encoding, write_through=True))
            never_fail_to_encode()
            returned = act()
            told, complaint = (raw.getvalue().decode(self._encoding) for raw in written)
        return returned, told, complaint


@pytest.fixture(params=ENCODINGS)
def printing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Printing:
    monkeypatch.setenv("COLUMNS", "3000")
    return Printing(request.param, monkeypatch)


@pytest.fixture(params=["pipe", "terminal"])
def _terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is a pipe, or a terminal with colours."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")


def assert_harmless(text: str, *, shows: str = MARKUP) -> None:
    plain = _STYLE.sub("", text)
    assert not list(forgeries(plain))
    assert shows in plain


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


def test_what_watch_shows_is_text(printing: Printing) -> None:
    """Names of queues, checks, and who paused."""
    health = metrics.GetQueueHealthResponse()
    hostile(health, MARKUP)
    health.processing.paused = True

    _, told, _ = printing(lambda: out().print(screen(health, Rates())))

    assert_harmless(told)


def test_spans_are_text(
    printing: Printing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, attributes, ids and errors."""
    attributes = of(JOB, event_type=HOSTILE, duplicate_of=HOSTILE)
    spans = [
        span(HOSTILE, "f/1", 0, 1, kind="SERVER", attributes=attributes, error=HOSTILE),
        attempt(1, "f/2/1", 3, 10, JOB, outcome=HOSTILE),
    ]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(line(*spans))
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))

    status, told, _ = printing(lambda: run(["trace", JOB]))
    refused, _, complaint = printing(lambda: run(["trace", HOSTILE]))

    assert (status, refused) == (0, 1)
    assert_harmless(told)
    assert not list(forgeries(complaint))


class _Hostile(BaseHTTPRequestHandler):
    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/readyz" or b"detail" in self.body else 200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """An HTTP server that answers with the body of its handler; its address."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Hostile)
    Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize("body", [{"detail": HOSTILE}, {"jobId": HOSTILE}])
def test_what_the_gateway_answers_is_text(
    printing: Printing, server: str, body: dict[str, str]
) -> None:
    """A reason is shown; an invalid job id is rejected."""
    _Hostile.body = orjson.dumps(body)

    status, told, _ = printing(lambda: run(["send", "hang", "--url", server]))

    assert status == 1
    assert_harmless(told, shows=MARKUP if "detail" in body else "200 without a job id")


def test_the_checks_of_a_service_are_text(
    printing: Printing, server: str, loop_thread: LoopThread
) -> None:
    """As `status` shows them."""
    _Hostile.body = orjson.dumps({"checks": {HOSTILE: False}})
    health = loop_thread.run(service_health("gateway", server))

    _, told, _ = printing(lambda: out().print(services_table([health])))

    assert_harmless(told)


def test_what_the_demo_shows_is_text(printing: Printing) -> None:
    """The last error, and the row of the call."""
    acts = acts_of(LADDER, run="0" * 16, now_ms=1_795_478_400_000)
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "id": UUID(JOB), "org_id": UUID(JOB), "status": Status.DEAD_LETTER, "attempts": 1,
        "max_attempts": 4, "last_attempt_at": now, "error_class": HOSTILE,
        "error_message": HOSTILE, "now": now,
    }  # fmt: skip
    seen: dict[str, Sighting] = {JOB: _sighting(row, 4)}  # type: ignore[arg-type]  # as a record
    ids = [JOB] * len(acts)

    parts = [
        deliveries_table(acts, ids, seen, LADDER),
        *explanations(acts, ids, seen),
        call_table({"transcript": HOSTILE}),  # type: ignore[arg-type]  # as a record
    ]

    _, told, _ = printing(lambda: out().print(*parts))

    assert_harmless(told)


def test_names_of_queues_are_text(printing: Printing) -> None:
    """Any user with permissions at the broker can name them."""
    found = OldRungs(empty=(HOSTILE,), held={HOSTILE: 1})

    _, told, _ = printing(lambda: _told(out(), found, "deleted"))

    assert_harmless(told)


def test_the_log_that_up_follows_is_text(printing: Printing) -> None:
    """Event types and errors come from senders and handlers."""
    failed = {"level": "warning", "event": "attempt.failed", "error": HOSTILE[:60], "n": MARKUP}
    finished = {"level": "info", "event": "attempt.finished", "event_type": HOSTILE}

    def follow() -> None:
        for entry in (failed, finished):
            shown = worth_showing("processor", orjson.dumps(entry).decode())
            assert shown is not None
            Screen().log(shown)

    _, told, _ = printing(follow)

    assert_harmless(told)


def test_a_fault_of_ours_is_text(
    service: ScriptedService,
    printing: Printing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exception texts and typed input may contain anything."""

    def broken(_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("ringback.cli.health.headline", broken)
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
