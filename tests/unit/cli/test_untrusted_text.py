"""Every output shows untrusted values as text, on every terminal, without failing."""

import io
import os
import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import grpc
import orjson
import pytest
from aiohttp import web
from cyclopts import App
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from pytest_aiohttp import AiohttpRawServer

from ringback.cli.app import build_app, report_failure, run
from ringback.cli.client.probes import ServiceHealth, service_health
from ringback.cli.commands.topology_change import print_old_queues
from ringback.cli.demo.steps import DeliverySnapshot, demo_steps
from ringback.cli.demo.view import call_table, deliveries_table, explanations
from ringback.cli.terminal import complain, out
from ringback.cli.views.health_view import Rates, watch_view
from ringback.cli.views.status_view import services_table
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.local.console import never_fail_to_encode
from ringback.local.log_follow import shown_line
from ringback.local.screen import Screen
from ringback.metrics.message_field import descriptor_of, is_message, is_time, map_value
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.annotations_pb2 import json_text
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus
from ringback.runtime.amqp.schedule_change import OldRetryQueues
from tests.unit.cli.retried import at
from tests.unit.cli.test_trace import JOB, attempt, line, of, span
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
    answers,
)

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
REASON = ["--reason", "Why."]
FORGED = "FORGED"
MARKUP = "[/x][bold red][link=http://evil.example]ok[/link]"
ESCAPES = "\x1b[31m\x1b]8;;http://evil.example\x1b\\\x9b2J\x07\x00\x7f"
DIRECTIONS = "\u202e\u2066\u2028\u200b"
HOSTILE = f"{MARKUP} :smile: {ESCAPES}{DIRECTIONS}\u6f22\r\n{FORGED}\n{FORGED}"
LONG = "w" * 1_000
REMOVED = {char for char in ESCAPES + DIRECTIONS if not char.isprintable()}
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def hostile(message: Message, text: str = HOSTILE, *, deep: int = 4) -> Any:
    """The same message with every text hostile, every list filled and every number set."""
    for field in descriptor_of(message).fields:
        if map_value(field) is not None:
            hostile(getattr(message, field.name)[text], text, deep=deep - 1)
        elif field.is_repeated and is_message(field):
            while deep and len(getattr(message, field.name)) < 2:
                hostile(getattr(message, field.name).add(), text, deep=deep - 1)
        elif is_time(field):
            getattr(message, field.name).CopyFrom(at(1))
        elif is_message(field):
            if deep:
                hostile(getattr(message, field.name), text, deep=deep - 1)
        else:
            _set(message, field, text)
    return message


def _set(message: Message, field: FieldDescriptor, text: str) -> None:
    is_json = field.GetOptions().Extensions[json_text]
    value = orjson.dumps({"type": text}).decode() if is_json else _value(field, text)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _value(field: FieldDescriptor, text: str) -> Any:
    kinds: dict[int, Any] = {
        FieldDescriptor.TYPE_STRING: text,
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_DOUBLE: 1.5,
        FieldDescriptor.TYPE_ENUM: 1,
    }
    return kinds.get(field.type, 7)


def assert_harmless(printed: str, *, shows: str = MARKUP) -> None:
    """No control characters, and no line that could pass for the command's own output."""
    plain = STYLE.sub("", printed)
    assert not REMOVED & set(plain)
    assert not [row for row in plain.splitlines() if row.strip().startswith(FORGED)]
    assert shows in plain


Printing = Callable[[Callable[[], object]], tuple[object, str, str]]


@pytest.fixture(params=["utf-8", "ascii"])
def printing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Printing:
    """Calls a function on a terminal of this encoding; returns its result, stdout and stderr.

    The terminal of UTF-8 has colours.
    """
    monkeypatch.setenv("COLUMNS", "3000")
    if request.param == "utf-8":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")

    def call(function: Callable[[], object]) -> tuple[object, str, str]:
        out_bytes, err_bytes = io.BytesIO(), io.BytesIO()
        stdout, stderr = (
            io.TextIOWrapper(raw, request.param, write_through=True)
            for raw in (out_bytes, err_bytes)
        )
        with redirect_stdout(stdout), redirect_stderr(stderr):
            never_fail_to_encode()
            returned = function()
        return (
            returned,
            out_bytes.getvalue().decode(request.param),
            err_bytes.getvalue().decode(request.param),
        )

    return call


#: Commands of the metrics API: their arguments, and the type of the response.
REQUESTS: dict[str, tuple[list[str], Any]] = {
    "health": ([], metrics.GetQueueHealthResponse),
    "stats": ([], metrics.GetDeliveryStatsResponse),
    "failures": ([], metrics.ListRecentFailuresResponse),
    "delivery list": (["--limit", "2"], metrics.ListDeliveriesResponse),
    "delivery show": ([JOB, "--event"], metrics.GetDeliveryResponse),
    "delivery run": ([JOB, *REASON], admin.RunDuplicateResponse),
    "dead list": ([], metrics.ListDeadLettersResponse),
    "dead groups": ([], metrics.ListFailureGroupsResponse),
    "dead show": ([JOB], metrics.GetDeliveryResponse),
    "dead retry": ([JOB, *REASON], admin.RetryDeliveryResponse),
    "dead discard": ([JOB, *REASON], admin.DiscardDeadLetterResponse),
    "destinations list": ([], metrics.ListDestinationsResponse),
    "destinations open": (["shop", *REASON], admin.SetDestinationResponse),
    "destinations half-open": (["shop", *REASON], admin.SetDestinationResponse),
    "destinations close": (["shop", *REASON], admin.SetDestinationResponse),
    "destinations auto": (["shop", *REASON], admin.SetDestinationResponse),
    "changes": ([], metrics.ListChangesResponse),
    "endpoints status": ([], metrics.ListEndpointsResponse),
    "runs list": ([], admin.ListRetryRunsResponse),
    "runs show": ([JOB], admin.GetRetryRunResponse),
    "runs pause": ([JOB], admin.PauseRetryRunResponse),
    "runs resume": ([JOB], admin.ResumeRetryRunResponse),
    "runs stop": ([JOB], admin.StopRetryRunResponse),
    "runs replay": (
        ["--event-type", "hang", "--since", "2h", "--dry-run"],
        admin.CreateRetryRunResponse,
    ),
    "waiting list": ([], metrics.ListWaitingResponse),
    "waiting now": ([JOB, *REASON], admin.ReleaseWaitingResponse),
    "waiting cancel": ([JOB, *REASON], admin.CancelWaitingResponse),
    "console": (["--no-browser"], admin.CreateConsoleCodeResponse),
    "pause": (REASON, admin.PauseProcessingResponse),
    "resume": ([], admin.ResumeProcessingResponse),
}
#: Commands that are tested below, or that print no external value.
OTHERS = {
    *("up", "down", "status", "demo", "send", "watch", "trace", "token"),
    *("endpoints check", "endpoints list", "endpoints schema", "endpoints show", "endpoints test"),
    "handlers check",
    *("spool list", "spool salvage", "spool discard", "migrate", "migrate wait", "housekeeping"),
    *("topology", "topology access", "topology apply", "topology check", "topology change"),
    *("topology prune", "topology wait"),
}


def response(command: str, text: str) -> Any:
    answer = hostile(REQUESTS[command][1](), text)
    if command == "dead show":
        answer.delivery.status = DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER
    return answer


def leaves(app: App, path: str = "") -> Iterator[str]:
    """Every command that can be run."""
    names = [name for name in app if not name.startswith("-")]
    if path and (app.default_command is not None or not names):
        yield path
    for name in names:
        yield from leaves(app[name], f"{path} {name}".strip())


def test_every_command_is_tested_here() -> None:
    """A new command must be added."""
    names = [name for name in build_app() if not name.startswith("-")]
    # Each by an app of its own, because listing a command replaces its help by a short sentence.
    all_leaves = {leaf for name in names for leaf in leaves(build_app([name])[name], name)}
    assert all_leaves - OTHERS == REQUESTS.keys()


def test_responses_are_text(service: ScriptedService, printing: Printing) -> None:
    """Markup is printed, control characters and line ends are not, on pipes and terminals."""
    for command, (arguments, _) in REQUESTS.items():
        service.answer = answers(response(command, HOSTILE))

        status, stdout, stderr = printing(partial(run, [*command.split(), *arguments]))

        assert status == 0, (command, stderr)
        assert_harmless(stdout)


def test_long_words_do_not_fail_on_a_narrow_terminal(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    for command, (arguments, _) in REQUESTS.items():
        service.answer = answers(response(command, LONG))

        assert run([*command.split(), *arguments]) == 0, command


def test_json_is_unchanged(service: ScriptedService) -> None:
    """In UTF-8 on one line, also if the terminal has another encoding."""
    for command, (arguments, _) in REQUESTS.items():
        raw = io.BytesIO()
        words = [*command.split(), *(one for one in arguments if one != "--event"), "--json"]
        service.answer = answers(response(command, HOSTILE))

        with redirect_stdout(io.TextIOWrapper(raw, encoding="ascii")):
            assert run(words) == 0, command
            written = raw.getvalue()

        assert written.count(b"\n") == 1, command
        assert HOSTILE in set(texts(orjson.loads(written))), command


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


def test_errors_are_text(service: ScriptedService, printing: Printing) -> None:
    """Of the service, of typed input, and unexpected ones; nothing prints a traceback."""
    code = grpc.StatusCode.ALREADY_EXISTS
    service.answer = answers(RefusedError(code, "ALREADY_RETRIED", HOSTILE, newJobId=HOSTILE))
    calls: list[tuple[Callable[[], object], int | None]] = [
        (lambda: run(["dead", "retry", JOB]), 1),
        (lambda: run([HOSTILE]), 2),
        (lambda: report_failure(RuntimeError(HOSTILE)), 1),
        (lambda: complain(f"{MARKUP}\udcff"), None),
    ]
    for call, status in calls:
        returned, _, stderr = printing(call)
        assert returned == status
        assert_harmless(stderr)
        assert "Traceback" not in stderr


def test_a_bulk_retry_is_text(service: ScriptedService, printing: Printing) -> None:
    service.answer = answers(hostile(admin.RetryDeliveriesResponse()), LastAnswerError())

    _, stdout, _ = printing(lambda: run(["dead", "retry", "--all", "--yes", *REASON]))

    assert_harmless(stdout)


def test_a_process_prints_in_any_locale(service: ScriptedService) -> None:
    """Characters that the encoding does not have are replaced."""
    service.answer = lambda _: hostile(metrics.GetQueueHealthResponse())

    done = subprocess.run(
        [sys.executable, "-m", "ringback.cli", "health"],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert FORGED.encode() not in [row.strip() for row in done.stdout.splitlines()]


def test_spans_are_text(
    printing: Printing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes = of(JOB, event_type=HOSTILE, duplicate_of=HOSTILE)
    spans = [
        span(HOSTILE, "f/1", 0, 1, kind="SERVER", attributes=attributes, error=HOSTILE),
        attempt(1, "f/2/1", 3, 10, JOB, outcome=HOSTILE),
    ]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(line(*spans))
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))

    status, stdout, _ = printing(lambda: run(["trace", JOB]))
    unknown, _, stderr = printing(lambda: run(["trace", HOSTILE]))

    assert (status, unknown) == (0, 2)
    assert_harmless(stdout)
    assert_harmless(stderr)


async def test_views_are_text(printing: Printing, aiohttp_raw_server: AiohttpRawServer) -> None:
    """Of queues, services, demo webhooks and calls; anyone at the broker can name a queue."""
    ready = await health_with_hostile_checks(aiohttp_raw_server)
    health = hostile(metrics.GetQueueHealthResponse(), MARKUP)
    health.processing.paused = True
    steps = demo_steps(SCHEDULE, run="0" * 16, now_ms=1_795_478_400_000)
    row: Any = {
        "id": UUID(JOB), "org_id": UUID(JOB), "status": Status.DEAD_LETTER, "attempts": 1,
        "max_attempts": 4, "last_attempt_at": at(9).ToDatetime(), "error_class": HOSTILE,
        "error_message": HOSTILE, "now": at(9).ToDatetime(),
    }  # fmt: skip
    seen = {JOB: DeliverySnapshot.of(row, 4)}
    ids = [JOB] * len(steps)
    found = OldRetryQueues(empty=(HOSTILE,), nonempty={HOSTILE: 1})

    for view in (
        watch_view(health, Rates()),
        services_table([ready]),
        deliveries_table(steps, ids, {}, SCHEDULE),
        explanations(steps, ids, seen)[-1],
        call_table(cast("Any", {"transcript": HOSTILE})),
    ):
        _, stdout, _ = printing(partial(print_view, view))
        assert_harmless(stdout, shows="")
        assert FORGED not in stdout or MARKUP in stdout
    _, stdout, _ = printing(lambda: print_old_queues(out(), found, "deleted"))
    assert_harmless(stdout)


def print_view(view: Any) -> None:
    out().print(view)


async def health_with_hostile_checks(serve: AiohttpRawServer) -> ServiceHealth:
    async def readyz(_: web.BaseRequest) -> web.Response:  # ruff: ignore[unused-async]
        return web.json_response({"checks": {HOSTILE: False}}, status=503)

    return await service_health("gateway", f"http://127.0.0.1:{(await serve(readyz)).port}")


def test_mistakes_in_a_file_of_endpoints_are_text(printing: Printing, tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_bytes(orjson.dumps({HOSTILE: {"org_id": HOSTILE}}))

    status, stdout, _ = printing(lambda: run(["endpoints", "check", str(path)]))
    listed, _, stderr = printing(lambda: run(["endpoints", "list", "--file", str(path)]))

    assert (status, listed) == (1, 2)
    assert_harmless(stdout)
    assert_harmless(stderr)


def test_mistakes_in_handlers_are_text(printing: Printing) -> None:
    """An import error quotes what a module says."""
    status, stdout, _ = printing(lambda: run(["handlers", "check", HOSTILE]))

    assert status == 1
    assert_harmless(stdout)


def test_the_log_that_up_prints_is_text(printing: Printing) -> None:
    """Event types and errors come from senders and handlers."""
    failed = {"level": "warning", "event": "attempt.failed", "error": HOSTILE[:60], "n": MARKUP}
    finished = {"level": "info", "event": "attempt.finished", "event_type": HOSTILE}

    def follow() -> None:
        for entry in (failed, finished):
            shown = shown_line("processor", orjson.dumps(entry).decode())
            assert shown is not None
            Screen().log(shown)

    _, stdout, _ = printing(follow)

    assert_harmless(stdout)
