"""Answers to questions: what Vapi accepts, and the fallbacks. No I/O.

The gateway passes on a wrong answer, because Vapi may accept more than it documents. It counts and
logs what is wrong, so that the authors of the backend find their mistake.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import orjson

from ringback.contract.event import Event, read_event, value_at
from ringback.services.gateway.endpoints.endpoint import Question
from ringback.services.gateway.webhook import AcceptedWebhook

JSON = "application/json"
VOICE = "voice-request"

_OK = 200
_MAX_NAME_LENGTH = 40
_SORRY = "The service cannot answer at the moment. Please try again later."
_CHOICES = (
    "assistantId",
    "assistant",
    "squadId",
    "squad",
    "workflowId",
    "workflow",
    "destination",
    "error",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question from Vapi, and the backend that answers it."""

    webhook: AcceptedWebhook
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    content_type: str = JSON


class Mistake(StrEnum):
    """What is wrong with an answer; the label of a metric."""

    #: Vapi ignores the results of tool calls with another status than 200.
    NOT_200 = "not_200"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    #: Vapi reads a text without content as an unknown error.
    EMPTY = "empty"
    TOO_LONG = "too_long"
    NOT_ONE_LINE = "not_one_line"
    #: The ids of the results are not those of the tool calls in the same order.
    WRONG_IDS = "wrong_ids"


Mistakes = list[tuple[Mistake, str]]
"""Each mistake, with the field of the answer that has it."""


def mistakes_in(
    event_type: str, question: bytes, status: int, answer: Mapping[str, Any]
) -> Mistakes:
    """What Vapi will not understand in an answer."""
    found: Mistakes = [] if status == _OK else [(Mistake.NOT_200, "status")]
    check = _CHECKS.get(event_type)
    return found if check is None else found + list(check(question, answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, how it came about, and whether the backend may have received the question.

    `status` is the backend's.
    """

    answer: Answer
    outcome: str
    was_sent: bool
    status: int | None = None
    mistakes: Sequence[tuple[Mistake, str]] = ()


Found = Iterator[tuple[Mistake, str]]


def _assistant(_: bytes, answer: Mapping[str, Any]) -> Found:
    if all(answer.get(name) is None for name in _CHOICES):
        yield Mistake.MISSING, " or ".join(_CHOICES)
    for name in ("assistantId", "squadId", "workflowId", "error"):
        yield from _text(answer, name)
    for name in ("assistant", "squad", "workflow", "destination"):
        yield from _object(answer, name)
    name = value_at(answer, "assistant.name")
    if isinstance(name, str) and len(name) > _MAX_NAME_LENGTH:
        yield Mistake.TOO_LONG, "assistant.name"


def _tool_calls(question: bytes, answer: Mapping[str, Any]) -> Found:
    results = answer.get("results")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        yield (Mistake.MISSING if results is None else Mistake.WRONG_TYPE), "results"
        return
    if [one.get("toolCallId") for one in results] != [call_id for call_id, _ in _calls(question)]:
        yield Mistake.WRONG_IDS, "results"
    for place, one in enumerate(results):
        if one.get("result") is None and one.get("error") is None:
            yield Mistake.MISSING, f"results.{place}.result or .error"
        for name in ("result", "error"):
            yield from _line(one, name, f"results.{place}.{name}")


def _line(result: Mapping[str, Any], name: str, place: str) -> Found:
    value = result.get(name)
    if isinstance(value, str) and len(value.splitlines()) > 1:
        yield Mistake.NOT_ONE_LINE, place
    for mistake, _ in _text(result, name):
        yield mistake, place


def _transfer(_: bytes, answer: Mapping[str, Any]) -> Found:
    if all(answer.get(name) is None for name in ("destination", "error", "message")):
        yield Mistake.MISSING, "destination or error"
    yield from _object(answer, "destination")
    yield from _text(answer, "error")


def _handoff(_: bytes, answer: Mapping[str, Any]) -> Found:
    if answer.get("destination") is None and answer.get("error") is None:
        yield Mistake.MISSING, "destination"
    yield from _object(answer, "destination")
    for name in ("result", "error"):
        yield from _text(answer, name)


def _knowledge(_: bytes, answer: Mapping[str, Any]) -> Found:
    documents, message = answer.get("documents"), answer.get("message")
    if documents is None and message is None:
        yield Mistake.MISSING, "documents or message"
    if documents is None:
        return
    if not isinstance(documents, list):
        yield Mistake.WRONG_TYPE, "documents"
        return
    for place, one in enumerate(documents):
        if not isinstance(value_at({"it": one}, "it.content"), str):
            yield Mistake.WRONG_TYPE, f"documents.{place}.content"
        if not _is_number(value_at({"it": one}, "it.similarity")):
            yield Mistake.WRONG_TYPE, f"documents.{place}.similarity"


def _endpointing(_: bytes, answer: Mapping[str, Any]) -> Found:
    if not _is_number(answer.get("timeoutSeconds")):
        yield Mistake.WRONG_TYPE, "timeoutSeconds"


def _predial(_: bytes, answer: Mapping[str, Any]) -> Found:
    if not isinstance(answer.get("eligible"), bool):
        yield Mistake.WRONG_TYPE, "eligible"


_CHECKS: Mapping[str, Callable[[bytes, Mapping[str, Any]], Found]] = MappingProxyType(
    {
        "assistant-request": _assistant,
        "call.endpointing.request": _endpointing,
        "campaign.predial": _predial,
        "handoff-destination-request": _handoff,
        "knowledge-base-request": _knowledge,
        "tool-calls": _tool_calls,
        "transfer-destination-request": _transfer,
    }
)


def _text(answer: Mapping[str, Any], name: str) -> Found:
    value = answer.get(name)
    if value is not None and not isinstance(value, str):
        yield Mistake.WRONG_TYPE, name
    elif isinstance(value, str) and not value.strip():
        yield Mistake.EMPTY, name


def _object(answer: Mapping[str, Any], name: str) -> Found:
    if not isinstance(answer.get(name, {}), dict | None):
        yield Mistake.WRONG_TYPE, name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fallback_for(asked: Asked) -> Answer:
    """The answer if the backend gives none: the declared one, or else one that keeps the call."""
    declared, webhook = asked.question.fallback, asked.webhook
    if declared is not None:
        return Answer(_OK, _json(dict(declared)))
    event_type = webhook.envelope.event_type
    if event_type == VOICE:
        # There is no speech to give. Vapi uses the fallback voices of the assistant.
        return Answer(503, b"")
    if event_type == "tool-calls":
        results = [
            {"toolCallId": call_id, "name": name, "error": _SORRY}
            for call_id, name in _calls(webhook.body)
        ]
        return Answer(_OK, _json({"results": results}))
    return Answer(_OK, _json(_FALLBACKS.get(event_type, {"error": _SORRY})))


def _json(answer: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError:
        # orjson refuses lone surrogates, and integers of more than 64 bits, as an id may be.
        return json.dumps(answer).encode()


_FALLBACKS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "call.endpointing.request": {"timeoutSeconds": 0.5},
        # After any other answer, Vapi does not call the contact either, but reports a failure.
        "campaign.predial": {"eligible": False},
        "knowledge-base-request": {"documents": []},
    }
)


def _calls(question: bytes) -> list[tuple[Any, Any]]:
    """Id and function name of each tool call, in any of Vapi's formats."""
    event = read_event(question)
    message = event.message if isinstance(event, Event) else {}
    for place in ("toolCallList", "toolCalls", "toolWithToolCallList"):
        items = message.get(place)
        if isinstance(items, list) and items:
            return [_call(item) for item in items]
    return []


def _call(item: Any) -> tuple[Any, Any]:
    nested = value_at({"it": item}, "it.toolCall")
    call = nested if isinstance(nested, dict) else item
    if not isinstance(call, dict):
        return None, None
    return call.get("id"), value_at(call, "function.name") or call.get("name")
