"""Questions that functions with @answers answer, in a real process."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from prometheus_client import CollectorRegistry

from ringback.cli.app import run
from ringback.contract.telemetry.questions import QuestionMetric
from ringback.handlers import answers
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.tracing import NO_TRACES, untraced
from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.gateway.endpoints.document import parse_document
from ringback.services.gateway.endpoints.endpoint import handler_url
from ringback.services.gateway.questions.answer_process import THREADS
from ringback.services.gateway.questions.answer_supervisor import (
    AnswerSupervisor,
    child_environment,
)
from ringback.services.gateway.questions.answers import Answer, Asked, fallback_for
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionLog
from ringback.services.gateway.questions.relay import QuestionRelay, RelayLimits, question_id
from tests.support.eventually import eventually
from tests.unit.gateway.questions.answering_functions import SECRET_TEXT
from tests.unit.gateway.questions.asking import MemoryTable, asked

ORG = UUID(int=7)
FUNCTIONS = "tests.unit.gateway.questions.answering_functions"
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(["."])}
LIMITS = RelayLimits(
    max_per_destination=500,
    max_in_flight=500,
    max_in_flight_bytes=1_000_000,
    max_answer_bytes=10_000,
)


def question(
    event_type: str, do: str = "answer", *, call_id: str, timeout_s: float = 60.0
) -> Asked:
    url = handler_url(event_type, "acme", ORG)
    return asked(event_type, url, call_id=call_id, timeout_s=timeout_s, do=do)


@dataclass
class Asking:
    socket_path: Path | None
    relay: QuestionRelay
    registry: CollectorRegistry
    calls: int = 0

    async def ask(self, event_type: str, do: str = "answer", **more: Any) -> Answer:
        self.calls += 1
        one = question(event_type, do, call_id=f"call-{self.calls}", **more)
        return await self.relay.answer(one, untraced())

    async def process_id(self) -> int:
        """The process that answers; 0 for a fallback."""
        answer = await self.ask("assistant-request")
        return int(orjson.loads(answer.body).get("assistantId", 0))

    def count(self, event_type: str, outcome: str) -> float:
        labels = {"event_type": event_type, "outcome": outcome}
        return self.registry.get_sample_value(QuestionMetric.QUESTIONS.name, labels) or 0.0


@asynccontextmanager
async def asking(hang_after_s: float = 3600.0) -> AsyncGenerator[Asking, None]:
    registry = CollectorRegistry()
    instruments = QuestionInstruments(registry, Exemplars(is_traced=False))
    log = QuestionLog(MemoryTable(list[AnsweredQuestion]()), instruments, max_waiting=100)
    restarted = instruments.answer_process_restarted
    supervisor = AnswerSupervisor(
        FUNCTIONS, ENVIRONMENT, hang_after_s=hang_after_s, on_restart=restarted
    )
    async with supervisor.running(), log.running():
        client = OutgoingClient(unix_socket=supervisor.socket_path)
        relay = QuestionRelay(client, log, instruments, NO_TRACES, LIMITS)
        async with relay.running():
            yield Asking(supervisor.socket_path, relay, registry)


async def test_a_function_gets_the_question_and_its_answer_goes_back() -> None:
    one = question("tool-calls", call_id="call-7")
    async with asking() as functions:
        answer = await functions.relay.answer(one, untraced())
        speech = await functions.ask("voice-request")

        assert functions.count("tool-calls", "answered") == 1
    got = orjson.loads(answer.body)["asked"]
    assert got.pop("trace").startswith("00-")
    assert got == {
        "id": question_id(one),
        "type": "tool-calls",
        "org": str(ORG),
        "endpoint": "acme",
        "call": "call-7",
        "thread": True,
    }
    assert speech == Answer(200, b"\x00\xff", "application/octet-stream")


#: What functions do wrong, the class of the error and the function that the log names.
WRONG = [
    ("assistant-request", "raise", "KeyError", "choose"),
    ("assistant-request", "list", "TypeError", None),
    # Those that asyncio handles in its own way neither end the process nor get lost.
    ("assistant-request", "cancel", "CancelledError", "choose"),
    ("assistant-request", "stop", "StopIteration", "choose"),
    ("tool-calls", "stop", "StopIteration", "book"),
    ("tool-calls", "interrupt", "KeyboardInterrupt", "book"),
]


async def test_whatever_a_function_does_costs_only_its_answer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The log names the class and the place of the error, and nothing of its text."""
    failing = question("assistant-request", "raise", call_id="call-a")
    late = question("handoff-destination-request", "wait", call_id="call-b", timeout_s=0.3)
    async with asking() as functions:
        before = await functions.process_id()
        answer = await functions.relay.answer(failing, untraced())
        for event_type, do, *_ in WRONG[1:]:
            await functions.ask(event_type, do)
        waited = await functions.relay.answer(late, untraced())
        after = await functions.process_id()

        assert functions.count("assistant-request", "bad_status") == 4
        assert functions.count("tool-calls", "bad_status") == 2
    output = capfd.readouterr().out
    lines = [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]
    failed = [line for line in lines if line["event"] == "answers.function_failed"]
    assert (answer, waited) == (fallback_for(failing), fallback_for(late))
    assert after == before != 0
    assert [line["error_class"] for line in failed] == [one for _, _, one, _ in WRONG]
    for line, (*_, place) in zip(failed, WRONG, strict=True):
        assert place is None or line["stack"][0].endswith(f" {place}")
    assert SECRET_TEXT not in output


async def test_a_process_whose_event_loop_hangs_is_replaced() -> None:
    async with asking(hang_after_s=2.0) as functions:
        before = await functions.process_id()
        blocks = question("handoff-destination-request", "block", call_id="call-a")

        assert await functions.relay.answer(blocks, untraced()) == fallback_for(blocks)
        assert await functions.process_id() not in {0, before}
        restarts = QuestionMetric.ANSWER_PROCESS_RESTARTS.name
        assert functions.registry.get_sample_value(restarts)


@pytest.mark.slow
async def test_a_process_whose_threads_all_hang_is_replaced() -> None:
    async with asking(hang_after_s=2.0) as functions:
        before = await functions.process_id()

        async def is_replaced() -> bool:
            # Again each time: on a busy machine, one may be too late to reach a thread.
            hanging = [functions.ask("tool-calls", "block", timeout_s=1.0) for _ in range(THREADS)]
            await asyncio.gather(*hanging)
            return await functions.process_id() not in {0, before}

        await eventually(is_replaced)


async def test_a_killed_process_costs_only_the_questions_that_it_had(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Hundreds wait for the next process: the socket takes their connections until it accepts."""
    async with asking() as functions:
        before = await functions.process_id()
        waiting = asyncio.create_task(functions.ask("assistant-request", "wait"))
        await eventually(lambda: "waiting" in capfd.readouterr().out)

        os.kill(before, signal.SIGKILL)
        with ExitStack() as connections:
            for _ in range(400):
                connection = connections.enter_context(socket.socket(socket.AF_UNIX))
                connection.settimeout(0)
                connection.connect(str(functions.socket_path))
            lost = await waiting
            after = await asyncio.gather(*(functions.process_id() for _ in range(5)))

        assert lost.body == fallback_for(question("assistant-request", call_id="x")).body
        assert functions.count("assistant-request", "connection_lost") == 1
        assert not {0, before} & set(after)


async def test_a_process_that_cannot_be_started_leaves_no_open_file() -> None:
    too_large = {"ACME": "x" * 10_000_000}
    before = _open_files()
    for _ in range(3):
        with pytest.raises(CannotStartError, match="cannot be started: Argument list too long"):
            async with AnswerSupervisor(FUNCTIONS, too_large).running():
                pass
    await eventually(lambda: _open_files() <= before)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_path_that_is_too_long_for_a_socket_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    with pytest.raises(CannotStartError, match="RINGBACK_ANSWERS needs a socket"):
        async with AnswerSupervisor(FUNCTIONS, {}).running():
            pass

    assert list(folder.iterdir()) == []


def test_functions_get_no_variable_that_is_not_named() -> None:
    environ = {"PATH": "/bin", "RINGBACK_AMQP_URL": "amqp://a:b@c/", "ACME": "s", "CRM": "t"}

    assert child_environment(environ, "CRM, ABSENT") == {"PATH": "/bin", "CRM": "t"}


async def test_a_module_without_answers_is_refused() -> None:
    with pytest.raises(CannotStartError, match="names json, which has no function with @answers"):
        async with AnswerSupervisor("json", ENVIRONMENT).running():
            pass


@pytest.mark.parametrize("types", [(), ("end-of-call-report",)])
def test_only_questions_are_answered(types: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match="assistant-request"):
        answers(*types)


@pytest.mark.parametrize(
    ("modules", "status", "printed"),
    [
        (FUNCTIONS, 0, "no mistakes"),
        ("", 1, "acme.questions.tool-calls.handler: RINGBACK_ANSWERS names no module with a fun"),
        ("no.such", 1, "RINGBACK_ANSWERS names no.such, which cannot be imported"),
    ],
)
def test_the_check_of_a_file_finds_questions_without_a_function(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    modules: str,
    status: int,
    printed: str,
) -> None:
    file = tmp_path / "endpoints.json"
    acme = {"org_id": str(ORG), "secret": "s", "questions": {"tool-calls": {"handler": True}}}
    file.write_bytes(orjson.dumps({"endpoints": {"acme": acme}}))
    monkeypatch.setenv("RINGBACK_ANSWERS", modules)

    assert run(["endpoints", "check", str(file)]) == status
    assert printed in capfd.readouterr().out
    assert run(["endpoints", "check", str(file), "--json"]) == status
    found = orjson.loads(capfd.readouterr().out)
    assert (found["file"], found["endpoints"]) == (str(file), 1)
    assert [printed in mistake for mistake in found["mistakes"]] == [True] * status


@pytest.mark.parametrize("question", [{}, {"handler": True, "url": "https://a.example/"}])
def test_a_question_has_one_backend(question: dict[str, object]) -> None:
    acme = {"org_id": str(ORG), "questions": {"tool-calls": question}}
    with pytest.raises(DocumentError, match=r"acme\.questions\.tool-calls: needs one of url and"):
        parse_document(orjson.dumps({"endpoints": {"acme": acme}}).decode(), Sources())
