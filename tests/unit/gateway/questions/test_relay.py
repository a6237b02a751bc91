import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry.questions import QuestionMetric
from ringback.contract.telemetry.spec import QUESTION_TYPES
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.tracing import NO_TRACES, untraced
from ringback.runtime.outgoing.addresses import parse_networks
from ringback.runtime.outgoing.client import Failure, OutgoingClient
from ringback.runtime.outgoing.signature import hmac_key, signature_headers
from ringback.services.gateway.questions.answers import Answer, Asked, fallback_for
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionLog
from ringback.services.gateway.questions.relay import QuestionRelay, RelayLimits, question_id
from tests.support.answering_backend import Backend, backend
from tests.support.eventually import eventually
from tests.unit.clock import Clock
from tests.unit.gateway.questions.asking import TOOL_CALLS, MemoryTable, asked, known_values

KEY = hmac_key(b"k" * 32)
LIMITS = RelayLimits(
    max_per_destination=3, max_in_flight=5, max_in_flight_bytes=10_000, max_answer_bytes=1_000
)


@dataclass
class Asking:
    backend: Backend
    relay: QuestionRelay
    registry: CollectorRegistry
    clock: Clock
    rows: list[AnsweredQuestion] = field(default_factory=list)

    async def ask(self, question: Asked) -> Answer:
        return await self.relay.answer(question, untraced())

    def count(self, event_type: str, outcome: str) -> float:
        labels = {"event_type": event_type, "outcome": outcome}
        return self.registry.get_sample_value(QuestionMetric.QUESTIONS.name, labels) or 0.0

    def breaker_open(self) -> float | None:
        labels = {"endpoint_id": "acme", "event_type": "assistant-request"}
        return self.registry.get_sample_value(QuestionMetric.QUESTION_BREAKER_OPEN.name, labels)


@asynccontextmanager
async def asking(
    limits: RelayLimits = LIMITS, *, networks: str = "127.0.0.0/8"
) -> AsyncGenerator[Asking, None]:
    registry, rows, clock = CollectorRegistry(), list[AnsweredQuestion](), Clock()
    instruments = QuestionInstruments(registry, Exemplars(is_traced=False))

    log = QuestionLog(MemoryTable(rows), instruments, max_waiting=100)
    client = OutgoingClient(parse_networks(networks))
    relay = QuestionRelay(client, log, instruments, NO_TRACES, limits, signing_key=KEY, clock=clock)
    async with backend() as served, log.running(), relay.running():
        yield Asking(served, relay, registry, clock, rows)


@pytest.fixture(name="questions")
async def _questions() -> AsyncGenerator[Asking, None]:
    async with asking() as started:
        yield started


async def test_the_answer_goes_back_as_it_is(questions: Asking) -> None:
    questions.backend.answer = b'{ "assistantId":"\\u0061" }'
    question = asked("assistant-request", questions.backend.url("/answer"))

    answer = await questions.ask(question)

    assert answer == Answer(200, questions.backend.answer, "application/json")
    assert questions.backend.bodies == [question.webhook.body]
    assert questions.count("assistant-request", "answered") == 1


async def test_the_request_is_traced_and_signed(questions: Asking) -> None:
    question = asked("assistant-request", questions.backend.url("/answer"))

    await questions.ask(question)

    head = questions.backend.heads[0].decode()
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    assert headers["traceparent"].startswith("00-")
    signed = signature_headers(
        [KEY],
        message_id=question_id(question),
        at_s=int(headers["webhook-timestamp"]),
        body=question.webhook.body,
    )
    assert {name: headers[name] for name in signed} == signed


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/hang", "timeout"),
        ("/close", "connection_lost"),
        ("/endless", "too_large"),
        ("/redirect", "bad_status"),
        ("/500", "bad_status"),
        ("/html", "not_json"),
        ("/list", "not_json"),
    ],
)
async def test_without_an_answer_vapi_gets_the_fallback(
    questions: Asking, path: str, outcome: str
) -> None:
    timeout_s = 2.0 if outcome == "timeout" else 60.0
    url = questions.backend.url(path)
    question = asked("assistant-request", url, timeout_s=timeout_s)

    answer = await questions.ask(question)

    assert answer == fallback_for(question)
    assert len(questions.backend.heads) == 1
    assert questions.count("assistant-request", outcome) == 1


async def test_a_wrong_answer_is_passed_on_and_counted(questions: Asking) -> None:
    questions.backend.answer = b'{"results": [{"toolCallId": "call_b", "result": "a\\nb"}]}'
    question = asked("tool-calls", questions.backend.url("/answer"), **TOOL_CALLS)

    answer = await questions.ask(question)

    assert answer.body == questions.backend.answer
    for mistake in ("wrong_ids", "not_one_line"):
        labels = {"event_type": "tool-calls", "mistake": mistake}
        name = QuestionMetric.ANSWER_MISTAKES.name
        assert questions.registry.get_sample_value(name, labels) == 1


async def test_a_content_type_that_cannot_be_sent_is_not_passed_on(questions: Asking) -> None:
    """Vapi would get no answer at all, although the backend gave one."""
    answer = await questions.ask(asked("assistant-request", questions.backend.url("/odd-type")))

    assert answer == Answer(200, b"{}", "application/json")


async def test_speech_is_passed_on_unread(questions: Asking) -> None:
    questions.backend.answer = b"\x00\x01\xff"

    answer = await questions.ask(asked("voice-request", questions.backend.url("/answer")))

    assert answer.body == b"\x00\x01\xff"


async def test_the_same_question_is_asked_once(questions: Asking) -> None:
    """While the first waits the second waits for it; afterwards it gets the stored answer."""
    question = asked("assistant-request", questions.backend.url("/hang"))
    again = asked("assistant-request", questions.backend.url("/hang"))
    first = asyncio.create_task(questions.ask(question))
    await eventually(lambda: len(questions.backend.heads) == 1)
    second = asyncio.create_task(questions.ask(again))
    await asyncio.sleep(0)

    first.cancel()  # Its sender has disconnected.
    questions.backend.release.set()
    answers = [await second, await questions.ask(again)]

    assert [answer.body for answer in answers] == [b"{}", b"{}"]
    assert len(questions.backend.heads) == 1
    assert questions.count("assistant-request", "answered") == 1
    assert questions.count("assistant-request", "repeated") == 2


@pytest.mark.parametrize(
    "other",
    [
        {"call_id": "call-2"},
        {"endpoint_id": "another"},
        {"event_type": "call.endpointing.request"},
    ],
)
async def test_another_question_is_asked(questions: Asking, other: dict[str, Any]) -> None:
    url = questions.backend.url("/answer")
    await questions.ask(asked("assistant-request", url))

    for _ in range(2):
        await questions.ask(asked(**{"event_type": "assistant-request", "url": url, **other}))

    is_without_key = "event_type" in other
    assert len(questions.backend.heads) == (3 if is_without_key else 2)


async def test_a_question_that_may_have_been_received_is_not_asked_again(
    questions: Asking,
) -> None:
    question = asked("assistant-request", questions.backend.url("/close"))

    answers = [await questions.ask(question) for _ in range(2)]

    assert answers == [fallback_for(question)] * 2
    assert len(questions.backend.heads) == 1


async def test_a_question_that_was_not_sent_is_asked_again(questions: Asking) -> None:
    nobody = asked("assistant-request")
    await questions.ask(nobody)

    await questions.ask(asked("assistant-request", questions.backend.url("/answer")))

    assert questions.count("assistant-request", "not_connected") == 1
    assert questions.count("assistant-request", "answered") == 1


async def test_one_hanging_backend_takes_nothing_from_the_others(questions: Asking) -> None:
    url = questions.backend.url("/hang")
    waiting = [
        asyncio.create_task(questions.ask(asked("assistant-request", url, call_id=str(number))))
        for number in range(LIMITS.max_per_destination)
    ]
    await eventually(lambda: len(questions.backend.heads) == LIMITS.max_per_destination)

    await questions.ask(asked("assistant-request", url, call_id="one too many"))
    other = asked("assistant-request", questions.backend.url("/answer"), endpoint_id="another")
    answer = await questions.ask(other)
    questions.backend.release.set()
    await asyncio.gather(*waiting)

    assert answer.body == b"{}"
    assert questions.count("assistant-request", "busy") == 1


async def test_a_large_question_beyond_the_limit_gets_the_fallback(questions: Asking) -> None:
    large = asked("assistant-request", questions.backend.url("/answer"), text="x" * 10_000)

    assert await questions.ask(large) == fallback_for(large)
    assert questions.count("assistant-request", "busy") == 1


async def test_a_backend_that_keeps_failing_is_left_alone(questions: Asking) -> None:
    """The gauge of its breaker rises; a new URL begins anew."""
    url = questions.backend.url("/500")
    for number in range(6):
        await questions.ask(asked("assistant-request", url, call_id=str(number)))
    was_open = questions.breaker_open()

    await questions.ask(asked("assistant-request", questions.backend.url("/answer"), call_id="x"))

    assert len(questions.backend.heads) == 6
    assert questions.count("assistant-request", "breaker_open") == 1
    assert was_open == 1
    assert questions.breaker_open() == 0


async def test_a_breaker_that_would_ask_the_next_question_is_not_open(questions: Asking) -> None:
    """Else it would be open for ever without a next one. A failed probe opens it again."""
    url = questions.backend.url("/500")
    for number in range(5):
        await questions.ask(asked("assistant-request", url, call_id=str(number)))
    shown = [questions.breaker_open()]

    questions.clock.now_s += 60
    shown.append(questions.breaker_open())
    await questions.ask(asked("assistant-request", url, call_id="probe"))
    shown.append(questions.breaker_open())

    assert shown == [1, 0, 1]


async def test_a_relay_that_stops_waits_for_no_backend(questions: Asking) -> None:
    hanging = asked("assistant-request", questions.backend.url("/hang"))
    waiting = [asyncio.create_task(questions.ask(hanging)) for _ in range(2)]
    await eventually(lambda: questions.backend.heads)

    questions.relay.stop_waiting()
    later = asked("campaign.predial", questions.backend.url("/hang"))
    answers = await asyncio.gather(*waiting, questions.ask(later))

    assert answers == [fallback_for(hanging)] * 2 + [fallback_for(later)]
    assert len(questions.backend.heads) == 1


async def test_question_and_answer_are_written(questions: Asking) -> None:
    questions.backend.answer = b'{"assistantId": "a"}'
    question = asked("assistant-request", questions.backend.url("/answer"))

    await questions.ask(question)
    await questions.ask(question)
    [row] = await eventually(lambda: questions.rows)

    assert row.webhook is question.webhook
    assert row.reply.answer.body == questions.backend.answer
    assert row.reply.outcome == "answered"


def test_the_id_of_a_question_is_the_same_at_every_gateway() -> None:
    first, again = asked("assistant-request"), asked("assistant-request")

    assert first.webhook.envelope.job_id != again.webhook.envelope.job_id
    assert question_id(first) == question_id(again)
    assert question_id(asked("assistant-request", endpoint_id="b")) != question_id(first)


def test_every_outcome_and_type_is_a_label_of_the_metric() -> None:
    assert set(Failure) < set(known_values(QuestionMetric.QUESTIONS, "outcome"))
    assert set(known_values(QuestionMetric.QUESTIONS, "event_type")) == QUESTION_TYPES
