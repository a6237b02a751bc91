"""What makes two webhooks the same event.

Vapi sends no event id, and a delivery that it repeats may differ in its bytes. So each type has
its own key: the parts of a message that stay the same when it is sent again. An event that happens
once per call, chat or session is identified by that id. Any other needs a time in the message:
without one, two equal messages are two events. Missing a duplicate is the safer error.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import orjson

from services.gateway.fallback_hash import digest_of, fallback_hash
from services.gateway.message_parts import (
    ABSENT,
    Message,
    PartMissingError,
    at,
    have,
    items,
    need,
    time_in,
)

LONGEST_KEY = 200

_PLAIN = re.compile(r"[A-Za-z0-9._:+-]{1,64}")
_BRACKETED = re.compile(r'(?P<type>[^\[]+)\[transcriptType="(?P<transcript_type>[a-z]+)"\]')
_LONGEST_ARGUMENTS = 64 * 1024
"""Longer texts are not parsed: a short text can describe many objects, and they take memory."""


class NeedsHashError(Exception):
    """Only the hash of the whole message tells it from another."""


def dedup_key(event_type: str, message: Message) -> str | None:
    """The key that identifies an event within its org: ASCII, at most 200 characters.

    None means that the event is never a duplicate. A key that begins with `hash|` is the weak one
    of a type that the table below does not list.
    """
    try:
        return key_of_parts(event_type, message)
    except NeedsHashError:
        return _key("hash", _base_type(event_type), fallback_hash(message))


def key_of_parts(event_type: str, message: Message) -> str | None:
    """As `dedup_key`, from the parts of the message that the table below names.

    Raises NeedsHashError for a type that is not listed, if its message has a time.
    """
    base_type = _base_type(event_type)
    if base_type in _WITHOUT_KEY:
        return None
    try:
        if base_type not in _PARTS:
            time_in(message)
            raise NeedsHashError
        bracketed = _BRACKETED.fullmatch(event_type)
        if bracketed and message.get("transcriptType") is None:
            message = {**message, "transcriptType": bracketed["transcript_type"]}
        return _key(base_type, *_PARTS[base_type](message))
    except PartMissingError:
        return None


def _base_type(event_type: str) -> str:
    bracketed = _BRACKETED.fullmatch(event_type)
    return bracketed["type"] if bracketed else event_type


def _key(*parts: str) -> str:
    key = "|".join(part if _PLAIN.fullmatch(part) else _hashed(part) for part in parts)
    return key if len(key) <= LONGEST_KEY else f"{parts[0]}|{_hashed(key)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _once_per(*paths: str) -> Callable[[Message], list[str]]:
    """The key of what happens once to the thing that these ids name."""
    return lambda message: [need(message, path) for path in paths]


def _moment(*discriminators: str) -> Callable[[Message], list[str]]:
    """A key of call and time, and of what tells two messages of one moment apart."""
    return lambda message: [
        need(message, "call.id"),
        *(have(message, path) for path in discriminators),
        time_in(message),
    ]


def _status_update(message: Message) -> list[str]:
    status = need(message, "status")
    # A call ends once. It can be in progress twice, and forwarded twice.
    when = [] if status == "ended" else [time_in(message)]
    return [need(message, "call.id"), status, *when]


def _tool_calls(message: Message) -> list[str]:
    places = ("toolCallList", "toolCalls", "toolWithToolCallList")
    found = next((calls for place in places if (calls := items(message, place))), None)
    if found is None:
        raise PartMissingError(places)
    calls = sorted(_tool_call(item) for item in found)
    # Models use an id twice in one call, so an id alone does not identify the tool call.
    timestamp = message.get("timestamp")
    when = ABSENT if timestamp is None else digest_of(timestamp)
    return [need(message, "call.id", "chat.id"), digest_of(calls), when]


def _tool_call(item: Any) -> tuple[str, str, str]:
    """Id, function name and arguments of a tool call, in any of the shapes that Vapi sends."""
    nested = at(item, "toolCall")
    call = nested if isinstance(nested, dict) else item
    names = ((call, "function.name"), (call, "name"), (item, "name"))
    places = ("function.arguments", "function.parameters", "arguments", "parameters")
    arguments = next((found for path in places if (found := at(call, path)) is not None), None)
    return (
        need(call, "id"),
        next((have(*place) for place in names if at(*place) is not None), ABSENT),
        _digest_of_arguments(arguments),
    )


def _digest_of_arguments(arguments: Any) -> str:
    """The same for an object and for its JSON text."""
    if isinstance(arguments, str) and len(arguments) <= _LONGEST_ARGUMENTS:
        with suppress(orjson.JSONDecodeError, RecursionError):
            return digest_of(orjson.loads(arguments))
    return digest_of(arguments)


def _artifact_upload(message: Message) -> list[str]:
    artifacts = sorted(
        [str(at(artifact, "type")), str(at(artifact, "success"))]
        for artifact in items(message, "artifacts")
    )
    return [need(message, "call.id"), digest_of(artifacts), time_in(message)]


def _conversation_update(message: Message) -> list[str]:
    messages = items(message, "messagesOpenAIFormatted") or items(message, "messages")
    return [need(message, "call.id"), str(len(messages)), digest_of(messages), time_in(message)]


def _last_message(message: Message) -> list[str]:
    messages = items(message, "messages") or [None]
    return [
        need(message, "call.id"),
        have(message, "parameters"),
        digest_of(messages[-1]),
        time_in(message),
    ]


def _session_updated(message: Message) -> list[str]:
    return [
        need(message, "session.id"),
        time_in(message, "session.updatedAt"),
        have(message, "timestamp"),
    ]


_PARTS: Mapping[str, Callable[[Message], list[str]]] = MappingProxyType(
    {
        "assistant-request": _once_per("call.id"),
        "assistant.speechStarted": _moment("turn", "source", "text", "timing"),
        "assistant.started": _moment("newAssistant.name"),
        "call.artifact.upload": _artifact_upload,
        "call.delete.failed": _moment(),
        "call.deleted": _once_per("call.id"),
        "campaign.predial": lambda message: [
            *_once_per("campaignId", "contact.id")(message),
            time_in(message),
        ],
        "chat.created": _once_per("chat.id"),
        "chat.deleted": _once_per("chat.id"),
        "conversation-update": _conversation_update,
        "end-of-call-report": _once_per("call.id"),
        "function-call": _moment("functionCall"),
        "handoff-destination-request": _last_message,
        "hang": _moment(),
        "knowledge-base-request": _last_message,
        "language-change-detected": _moment("language"),
        "phone-call-control": _moment("request", "destination"),
        "session.created": _once_per("session.id"),
        "session.deleted": _once_per("session.id"),
        "session.updated": _session_updated,
        "speech-update": _moment("turn", "role", "status"),
        "status-update": _status_update,
        "tool-calls": _tool_calls,
        "transcript": _moment("role", "transcriptType", "transcript"),
        "transfer-destination-request": _last_message,
        "transfer-update": _moment("destination"),
        "user-interrupted": _moment("turnId"),
    }
)
"""The parts of each key, after the type. docs/dedup-keys.md is the same table for readers."""

_WITHOUT_KEY = frozenset(
    {"call.endpointing.request", "model-output", "voice-input", "voice-request"}
)
"""One message per token, or a request for the next word of a call: no key worth having."""
