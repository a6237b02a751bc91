"""Dedup keys: two webhooks with the same key are the same event.

Vapi sends no event id, and a repeated delivery may differ in its bytes. So each event type has its
own key, of the fields that stay the same. An event that happens once per call, chat or session is
identified by that id. Any other event needs a time in the message: without one, two equal messages
count as two events, because missing a duplicate is the safer error.

To add a type, add it to `_PARTS` and to docs/dedup-keys.md, and the fields of its key to
`_KeyFields` of metadata.py. If its key has a hash of large fields, add the type to `_NEEDS_WHOLE`
there instead.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import orjson

from ringback.contract.event import value_at

_SNAPSHOTS = ("call", "assistant", "phoneNumber")
_PRESIGNED = "presigned"


def content_hash(message: dict[str, Any]) -> str:
    """SHA-256, in hex, of what two deliveries of one event have in common.

    Presigned URLs differ in each delivery, and keys have no order, so neither affects the hash.
    """
    return digest_of(_in_common(message))


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _in_common(message: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in message.items() if name not in _SNAPSHOTS}
    call = message.get("call")
    if isinstance(call, dict):
        kept["call"] = {"id": call.get("id")}
    artifact = message.get("artifact")
    if isinstance(artifact, dict):
        kept["artifact"] = {
            name: value for name, value in artifact.items() if not name.startswith(_PRESIGNED)
        }
    return kept


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        # Lone surrogates, integers beyond 64 bits, and more than 254 levels.
        return json.dumps(value, sort_keys=True).encode()


ABSENT = "-"

_NUMBER_OF_TIME = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_DATE_AND_TIME = re.compile(r"[12][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5]")
_ZERO = re.compile(r"1970-01-01[T ]00:00:00(\.0+)?(Z|\+00:00)?")

Message = dict[str, Any]


class MissingPartError(Exception):
    """A field that the key needs is missing in the message."""


def required(message: Message, *paths: str) -> str:
    """The first of these fields that is present, as text."""
    for path in paths:
        value = value_at(message, path)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return repr(value)
    raise MissingPartError(paths)


def optional(message: Message, path: str) -> str:
    """The field as text, or `-` if it is absent; nested values as a hash."""
    value = value_at(message, path)
    if value is None:
        return ABSENT
    is_text = isinstance(value, str) and value not in {"", ABSENT}
    return value if is_text else digest_of(value)


def time_in(message: Message, path: str = "timestamp") -> str:
    """The time of a message as text: a number, or a date with a time; not the epoch."""
    value = required(message, path)
    is_number = _NUMBER_OF_TIME.fullmatch(value) and float(value) > 0
    is_date = _DATE_AND_TIME.match(value) and not _ZERO.fullmatch(value)
    if is_number or is_date:
        return value
    raise MissingPartError(path)


def items(message: Message, path: str) -> list[Any]:
    value = value_at(message, path)
    return value if isinstance(value, list) else []


MAX_KEY_LENGTH = 200

_PLAIN = re.compile(r"[A-Za-z0-9._:+-]{1,64}")
_BRACKETED = re.compile(r'(?P<type>[^\[]+)\[transcriptType="(?P<transcript_type>[a-z]+)"\]')
_MAX_ARGUMENTS_LENGTH = 64 * 1024
"""Longer strings are not parsed: parsed JSON can take far more memory than its text."""


class NeedsHashError(Exception):
    """The key needs a hash of the whole message."""


def dedup_key(event_type: str, message: Message) -> str | None:
    """The key that identifies an event within its org: ASCII, at most 200 characters.

    None means that the event is never a duplicate. A key that starts with `hash|` is the weak key
    of a type that `_PARTS` does not list.
    """
    try:
        return key_from_parts(event_type, message)
    except NeedsHashError:
        return _key("hash", _base_type(event_type), content_hash(message))


def key_from_parts(event_type: str, message: Message) -> str | None:
    """Like `dedup_key`, from the fields that `_PARTS` names alone.

    Raises NeedsHashError for an unlisted type, if its message has a time.
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
    except MissingPartError:
        return None


def _base_type(event_type: str) -> str:
    bracketed = _BRACKETED.fullmatch(event_type)
    return bracketed["type"] if bracketed else event_type


def _key(*parts: str) -> str:
    key = "|".join(part if _PLAIN.fullmatch(part) else _hashed(part) for part in parts)
    return key if len(key) <= MAX_KEY_LENGTH else f"{parts[0]}|{_hashed(key)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _once_per(*paths: str) -> Callable[[Message], list[str]]:
    """Parts of an event that happens once per these ids."""
    return lambda message: [required(message, path) for path in paths]


def _moment(*discriminators: str) -> Callable[[Message], list[str]]:
    """Parts of an event that can happen again in its call: the call, these fields, and the time.

    The fields distinguish events of the same moment.
    """
    return lambda message: [
        required(message, "call.id"),
        *(optional(message, path) for path in discriminators),
        time_in(message),
    ]


def _status_update(message: Message) -> list[str]:
    status = required(message, "status")
    # A call ends once, but it can be in progress or forwarded twice.
    when = [] if status == "ended" else [time_in(message)]
    return [required(message, "call.id"), status, *when]


def _tool_calls(message: Message) -> list[str]:
    places = ("toolCallList", "toolCalls", "toolWithToolCallList")
    found = next((calls for place in places if (calls := items(message, place))), None)
    if found is None:
        raise MissingPartError(places)
    calls = sorted(_tool_call(item) for item in found)
    # Models use an id twice in one call, so an id alone does not identify the tool call.
    timestamp = message.get("timestamp")
    when = ABSENT if timestamp is None else digest_of(timestamp)
    return [required(message, "call.id", "chat.id"), digest_of(calls), when]


def _tool_call(item: Any) -> tuple[str, str, str]:
    """Id, function name and arguments of a tool call, in any of Vapi's formats."""
    nested = value_at(item, "toolCall")
    call = nested if isinstance(nested, dict) else item
    names = ((call, "function.name"), (call, "name"), (item, "name"))
    places = ("function.arguments", "function.parameters", "arguments", "parameters")
    arguments = next(
        (found for path in places if (found := value_at(call, path)) is not None), None
    )
    return (
        required(call, "id"),
        next((optional(*place) for place in names if value_at(*place) is not None), ABSENT),
        _digest_of_arguments(arguments),
    )


def _digest_of_arguments(arguments: Any) -> str:
    """The digest is the same for an object and its JSON text."""
    if isinstance(arguments, str) and len(arguments) <= _MAX_ARGUMENTS_LENGTH:
        with suppress(orjson.JSONDecodeError, RecursionError):
            return digest_of(orjson.loads(arguments))
    return digest_of(arguments)


def _artifact_upload(message: Message) -> list[str]:
    artifacts = sorted(
        [str(value_at(artifact, "type")), str(value_at(artifact, "success"))]
        for artifact in items(message, "artifacts")
    )
    return [required(message, "call.id"), digest_of(artifacts), time_in(message)]


def _conversation_update(message: Message) -> list[str]:
    messages = items(message, "messagesOpenAIFormatted") or items(message, "messages")
    return [required(message, "call.id"), str(len(messages)), digest_of(messages), time_in(message)]


def _last_message(message: Message) -> list[str]:
    messages = items(message, "messages") or [None]
    return [
        required(message, "call.id"),
        optional(message, "parameters"),
        digest_of(messages[-1]),
        time_in(message),
    ]


def _session_updated(message: Message) -> list[str]:
    return [
        required(message, "session.id"),
        time_in(message, "session.updatedAt"),
        optional(message, "timestamp"),
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
"""The parts of each key, after the type. docs/dedup-keys.md documents them."""

_WITHOUT_KEY = frozenset(
    {"call.endpointing.request", "model-output", "voice-input", "voice-request"}
)
"""They arrive for each token, or ask for the next words of a call: too many to need a key."""
