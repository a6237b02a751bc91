"""What makes two webhooks the same event.

Vapi sends no event id, and a delivery that it repeats may differ in its bytes. So each type has
its own key: the parts of a message that stay the same when it is sent again. Missing a duplicate
is the safer error than swallowing an event, so whatever lacks a part is known by its hash.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from services.gateway.fallback_hash import digest_of, fallback_hash

LONGEST_KEY = 200

_PLAIN = re.compile(r"[A-Za-z0-9._:+-]{1,64}")
_BRACKETED = re.compile(r'(?P<type>[^\[]+)\[transcriptType="(?P<transcript_type>[a-z]+)"\]')
_ABSENT = "-"

Message = dict[str, Any]


class PartMissingError(Exception):
    """The message lacks a part that its key needs, or is of a type without a key of its own."""


def dedup_key(event_type: str, message: Message) -> str | None:
    """The key under which an event is known within its org: ASCII, at most 200 characters.

    None for the types of which no copy can be told from another (one message per token). A key
    that begins with `hash|` is the weak one, for what the table below does not know.
    """
    try:
        return strong_key(event_type, message)
    except PartMissingError:
        return _key("hash", _base_type(event_type), fallback_hash(message))


def strong_key(event_type: str, message: Message) -> str | None:
    """As `dedup_key`, from the parts of the message alone that the table below names.

    Raises PartMissingError where only the hash of the whole message tells it from another.
    """
    bracketed = _BRACKETED.fullmatch(event_type)
    base_type = bracketed["type"] if bracketed else event_type
    if base_type in _WITHOUT_KEY:
        return None
    if base_type not in _PARTS:
        raise PartMissingError(base_type)
    if bracketed:
        message = {"transcriptType": bracketed["transcript_type"]} | message
    return _key(base_type, *_PARTS[base_type](message))


def _base_type(event_type: str) -> str:
    bracketed = _BRACKETED.fullmatch(event_type)
    return bracketed["type"] if bracketed else event_type


def _key(*parts: str) -> str:
    key = "|".join(part if _PLAIN.fullmatch(part) else _hashed(part) for part in parts)
    return key if len(key) <= LONGEST_KEY else f"{parts[0]}|{_hashed(key)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _at(message: Message, path: str) -> Any:
    """The value at a path such as `call.id`; None where there is none."""
    value: Any = message
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _need(message: Message, *paths: str) -> str:
    """The first of these parts that is there, as text."""
    for path in paths:
        value = _at(message, path)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return repr(value)
    raise PartMissingError(paths)


def _have(message: Message, path: str) -> str:
    """This part as text, or a mark that it is absent; long or nested values as a hash."""
    value = _at(message, path)
    if value is None:
        return _ABSENT
    return value if isinstance(value, str) and value else digest_of(value)


def _items(message: Message, path: str) -> list[Any]:
    value = _at(message, path)
    return value if isinstance(value, list) else []


def _of(*paths: str) -> Callable[[Message], list[str]]:
    """A key of parts that must all be there."""
    return lambda message: [_need(message, path) for path in paths]


def _moment(*discriminators: str) -> Callable[[Message], list[str]]:
    """A key of call and time, and of what tells two messages of one moment apart."""
    return lambda message: [
        _need(message, "call.id"),
        *(_have(message, path) for path in discriminators),
        _need(message, "timestamp"),
    ]


def _status_update(message: Message) -> list[str]:
    status = _need(message, "status")
    # A call ends once; it may well be in progress twice.
    when = [] if status == "ended" else [_need(message, "timestamp")]
    return [_need(message, "call.id"), status, *when]


def _tool_calls(message: Message) -> list[str]:
    calls = _items(message, "toolCallList") or _items(message, "toolCalls")
    calls = calls or [_at(item, "toolCall") for item in _items(message, "toolWithToolCallList")]
    ids = sorted(_need(call, "id") for call in calls if isinstance(call, dict))
    if not ids or len(ids) != len(calls):
        raise PartMissingError("toolCallList")
    return [_need(message, "call.id", "chat.id"), ids[0] if len(ids) == 1 else digest_of(ids)]


def _artifact_upload(message: Message) -> list[str]:
    artifacts = sorted(
        [str(_at(artifact, "type")), str(_at(artifact, "success"))]
        for artifact in _items(message, "artifacts")
        if isinstance(artifact, dict)
    )
    if not artifacts:
        raise PartMissingError("artifacts")
    return [_need(message, "call.id"), digest_of(artifacts)]


def _conversation_update(message: Message) -> list[str]:
    messages = _items(message, "messagesOpenAIFormatted")
    if not messages:
        raise PartMissingError("messagesOpenAIFormatted")
    return [_need(message, "call.id"), str(len(messages)), digest_of(messages)]


def _last_message(message: Message) -> list[str]:
    messages = _items(message, "messages") or [None]
    return [
        _need(message, "call.id"),
        _have(message, "parameters"),
        digest_of(messages[-1]),
        _need(message, "timestamp"),
    ]


def _speech_started(message: Message) -> list[str]:
    return [
        _need(message, "call.id"),
        *(_have(message, path) for path in ("turn", "source", "text")),
        _need(message, "timing.wordsSpoken", "timestamp"),
    ]


_PARTS: Mapping[str, Callable[[Message], list[str]]] = MappingProxyType(
    {
        "assistant-request": _of("call.id"),
        "assistant.speechStarted": _speech_started,
        "assistant.started": _moment("newAssistant.name"),
        "call.artifact.upload": _artifact_upload,
        "call.delete.failed": _moment(),
        "call.deleted": _of("call.id"),
        "campaign.predial": _of("campaignId", "contact.id"),
        "chat.created": _of("chat.id"),
        "chat.deleted": _of("chat.id"),
        "conversation-update": _conversation_update,
        "end-of-call-report": _of("call.id"),
        "handoff-destination-request": _last_message,
        "hang": _moment(),
        "knowledge-base-request": _last_message,
        "language-change-detected": _moment("language"),
        "phone-call-control": lambda message: [
            *_of("call.id", "request")(message),
            _have(message, "destination"),
        ],
        "session.created": _of("session.id"),
        "session.deleted": _of("session.id"),
        "session.updated": _of("session.id", "session.updatedAt"),
        "speech-update": _moment("turn", "role", "status"),
        "status-update": _status_update,
        "tool-calls": _tool_calls,
        "transcript": _moment("role", "transcriptType", "transcript"),
        "transfer-destination-request": _last_message,
        "transfer-update": _moment("destination"),
        "user-interrupted": lambda message: [
            _need(message, "call.id"),
            _need(message, "turnId", "timestamp"),
        ],
    }
)
"""The parts of each key, after the type."""

_WITHOUT_KEY = frozenset(
    {"call.endpointing.request", "model-output", "voice-input", "voice-request"}
)
"""One message per token, or on the path of the voice: no key worth having."""
