"""Values of other sources than the metrics API are shown as text, too."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import orjson
import pytest

from ringback.cli.app import run
from ringback.cli.client.probes import service_health
from ringback.cli.commands.topology_change import print_old_queues
from ringback.cli.demo.steps import DeliverySnapshot, _snapshot, demo_steps  # ruff: ignore[import-private-name]
from ringback.cli.demo.view import call_table, deliveries_table, explanations
from ringback.cli.terminal import out
from ringback.cli.views.health_view import Rates, watch_view
from ringback.cli.views.status_view import services_table
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.local.log_follow import worth_showing
from ringback.local.screen import Screen
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.runtime.amqp.schedule_change import OldRetryQueues
from tests.support.loop_thread import LoopThread
from tests.unit.cli.hostile import (
    HOSTILE,
    MARKUP,
    Printing,
    assert_harmless,
    forgeries,
    hostile,
)
from tests.unit.cli.test_trace import JOB, attempt, line, of, span

SCHEDULE = RetrySchedule.parse("2s,4s,8s")


def test_what_watch_shows_is_text(printing: Printing) -> None:
    """Names of queues, checks, and who paused."""
    health = metrics.GetQueueHealthResponse()
    hostile(health, MARKUP)
    health.processing.paused = True

    _, told, _ = printing(lambda: out().print(watch_view(health, Rates())))

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
    steps = demo_steps(SCHEDULE, run="0" * 16, now_ms=1_795_478_400_000)
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "id": UUID(JOB), "org_id": UUID(JOB), "status": Status.DEAD_LETTER, "attempts": 1,
        "max_attempts": 4, "last_attempt_at": now, "error_class": HOSTILE,
        "error_message": HOSTILE, "now": now,
    }  # fmt: skip
    seen: dict[str, DeliverySnapshot] = {JOB: _snapshot(row, 4)}  # type: ignore[arg-type]  # as a record
    ids = [JOB] * len(steps)

    parts = [
        deliveries_table(steps, ids, seen, SCHEDULE),
        *explanations(steps, ids, seen),
        call_table({"transcript": HOSTILE}),  # type: ignore[arg-type]  # as a record
    ]

    _, told, _ = printing(lambda: out().print(*parts))

    assert_harmless(told)


def test_names_of_queues_are_text(printing: Printing) -> None:
    """Any user with permissions at the broker can name them."""
    found = OldRetryQueues(empty=(HOSTILE,), nonempty={HOSTILE: 1})

    _, told, _ = printing(lambda: print_old_queues(out(), found, "deleted"))

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
