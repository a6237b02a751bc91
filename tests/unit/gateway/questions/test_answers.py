import json
from typing import Any

import orjson
import pytest

from ringback.contract.telemetry.questions import QuestionMetric
from ringback.contract.telemetry.spec import QUESTION_TYPES
from ringback.services.gateway.questions.answers import Mistake, fallback_for, mistakes_in
from tests.unit.gateway.questions.asking import TOOL_CALLS, asked, asked_with, known_values

RESULTS = [
    {"toolCallId": "call_b", "name": "book", "result": "a"},
    {"toolCallId": "call_a", "name": "look_up", "error": "b"},
]
PLACE = "the place does not matter"

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("assistant-request", {"assistantId": "a"}),
    ("assistant-request", {"assistant": {"name": "Anna"}, "squadId": None}),
    ("assistant-request", {"destination": {"type": "number", "number": "+1"}}),
    ("assistant-request", {"error": "We are closed."}),
    ("tool-calls", {"results": RESULTS}),
    ("transfer-destination-request", {"destination": {"type": "number", "number": "+1"}}),
    ("transfer-destination-request", {"error": "Nobody is there."}),
    ("handoff-destination-request", {"destination": {"type": "assistant"}, "result": "done"}),
    ("knowledge-base-request", {"documents": [{"content": "a", "similarity": 0.5}]}),
    ("knowledge-base-request", {"message": {"type": "x"}}),
    ("call.endpointing.request", {"timeoutSeconds": 1}),
    ("campaign.predial", {"eligible": False}),
    ("voice-request", {}),
]


def mistakes(event_type: str, answer: dict[str, Any], status: int = 200) -> list[Mistake]:
    question = asked(event_type, **TOOL_CALLS).webhook.body
    return [mistake for mistake, _ in mistakes_in(event_type, question, status, answer)]


@pytest.mark.parametrize(("event_type", "answer"), GOOD)
def test_nothing_is_wrong_with_these(event_type: str, answer: dict[str, Any]) -> None:
    assert mistakes(event_type, answer) == []
    assert mistakes(event_type, answer, 201) == [Mistake.NOT_200]


@pytest.mark.parametrize(
    ("event_type", "answer", "mistake"),
    [
        ("assistant-request", {}, Mistake.MISSING),
        ("assistant-request", {"assistantId": None}, Mistake.MISSING),
        ("assistant-request", {"assistantId": 7}, Mistake.WRONG_TYPE),
        ("assistant-request", {"assistant": "a"}, Mistake.WRONG_TYPE),
        ("assistant-request", {"error": " "}, Mistake.EMPTY),
        ("assistant-request", {"assistant": {"name": "a" * 41}}, Mistake.TOO_LONG),
        ("tool-calls", {}, Mistake.MISSING),
        ("tool-calls", {"results": {}}, Mistake.WRONG_TYPE),
        ("tool-calls", {"results": ["a"]}, Mistake.WRONG_TYPE),
        ("tool-calls", {"results": RESULTS[::-1]}, Mistake.WRONG_IDS),
        ("tool-calls", {"results": RESULTS[:1]}, Mistake.WRONG_IDS),
        ("tool-calls", {"results": [{"toolCallId": "call_b"}, RESULTS[1]]}, Mistake.MISSING),
        ("tool-calls", {"results": [{**RESULTS[0], "result": 1}, RESULTS[1]]}, Mistake.WRONG_TYPE),
        ("tool-calls", {"results": [{**RESULTS[0], "result": ""}, RESULTS[1]]}, Mistake.EMPTY),
        (
            "tool-calls",
            {"results": [{**RESULTS[0], "result": "a\nb"}, RESULTS[1]]},
            Mistake.NOT_ONE_LINE,
        ),
        ("transfer-destination-request", {}, Mistake.MISSING),
        ("transfer-destination-request", {"destination": "+1"}, Mistake.WRONG_TYPE),
        ("handoff-destination-request", {"result": "a"}, Mistake.MISSING),
        ("knowledge-base-request", {}, Mistake.MISSING),
        ("knowledge-base-request", {"documents": {}}, Mistake.WRONG_TYPE),
        ("knowledge-base-request", {"documents": [{"similarity": 1}]}, Mistake.WRONG_TYPE),
        ("knowledge-base-request", {"documents": [{"content": "a"}]}, Mistake.WRONG_TYPE),
        ("call.endpointing.request", {"timeoutSeconds": "1"}, Mistake.WRONG_TYPE),
        ("call.endpointing.request", {"timeoutSeconds": True}, Mistake.WRONG_TYPE),
        ("campaign.predial", {"eligible": "yes"}, Mistake.WRONG_TYPE),
    ],
)
def test_names_the_mistake(event_type: str, answer: dict[str, Any], mistake: Mistake) -> None:
    assert mistakes(event_type, answer) == [mistake]


@pytest.mark.parametrize("event_type", sorted(QUESTION_TYPES - {"voice-request"}))
def test_a_fallback_is_an_answer_without_mistakes(event_type: str) -> None:
    question = asked(event_type, **TOOL_CALLS)

    fallback = fallback_for(question)

    assert mistakes(event_type, orjson.loads(fallback.body), fallback.status) == []


def test_without_speech_vapi_is_told_to_use_another_voice() -> None:
    assert fallback_for(asked("voice-request")).status == 503


def test_each_tool_call_gets_an_error_in_its_place() -> None:
    nested = [{"type": "function", "toolCall": one} for one in TOOL_CALLS["toolCallList"]]

    for message in (TOOL_CALLS, {"toolWithToolCallList": nested}):
        results = orjson.loads(fallback_for(asked("tool-calls", **message)).body)["results"]

        assert [(one["toolCallId"], one["name"]) for one in results] == [
            ("call_b", "book"),
            ("call_a", "look_up"),
        ]
        assert all(one["error"] for one in results)


@pytest.mark.parametrize("declared", [{"assistantId": "the-other-one"}, {"large": 10**30}])
def test_the_declared_fallback_comes_first(declared: dict[str, Any]) -> None:
    fallback = fallback_for(asked("assistant-request", fallback=declared))

    assert (fallback.status, json.loads(fallback.body)) == (200, declared)


def test_a_tool_call_may_have_any_id() -> None:
    """The answer repeats it, also if it has more digits than 64 bits hold."""
    call = b'{"message":{"type":"tool-calls","toolCallList":[{"id":%d}]}}' % (10**30)

    fallback = fallback_for(asked_with(call))

    assert json.loads(fallback.body)["results"][0]["toolCallId"] == 10**30


def test_every_mistake_is_a_label_of_the_metric() -> None:
    assert set(known_values(QuestionMetric.ANSWER_MISTAKES, "mistake")) == set(Mistake)
