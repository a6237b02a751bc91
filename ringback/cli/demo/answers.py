"""The sample answers: those of the demo's backend, and of `RINGBACK_ANSWERS` with this module."""

from collections.abc import Mapping
from typing import Any

from ringback.contract.event import Event, read_event, value_at
from ringback.handlers import Question, answers


@answers("assistant-request", "tool-calls")
def answer(question: Question) -> dict[str, object]:
    return _decide(question.type, question.message)


def answer_to(question: bytes) -> dict[str, object]:
    event = read_event(question)
    assert isinstance(event, Event)
    return _decide(event.type, event.message)


def _decide(event_type: str, message: Mapping[str, Any]) -> dict[str, object]:
    """Decide as a backend would; here always the same assistant, and a table for two."""
    if event_type != "tool-calls":
        return {"assistant": {"name": "Anna", "firstMessage": "Hello, this is Anna."}}
    calls = message.get("toolCallList")
    return {
        "results": [
            {
                "toolCallId": value_at(call, "id"),
                "name": value_at(call, "function.name"),
                "result": "A table for two is free.",
            }
            for call in (calls if isinstance(calls, list) else [])
        ]
    }
