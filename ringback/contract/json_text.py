r"""Parses untrusted JSON, and converts it to a text that PostgreSQL can store.

JSONB refuses `\u0000` and lone surrogates, turns `1e130000` into a hundred thousand digits, and
keeps only the last of two equal keys. A webhook must still be processed, and a page of dead letters
must still be readable, so such a document is stored with the part replaced and marked as altered.
"""

import json
import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import msgspec
import orjson

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_MOST_DIGITS = 300
#: JSONB prints an exponent as zeros: `1e30` has 31 digits, and a body can be full of such numbers.
_LARGEST_EXPONENT = 30
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)$")
#: What orjson writes and JSONB cannot store: NUL, and numbers with a large or a small exponent.
#: Each pattern begins with a rare byte, because `re` finds a first byte quickly. Most hyphens
#: after an `e` belong to a UUID.
_NOT_STORABLE_BYTES = (
    re.compile(rb"\\(?<=\\)u0000"),
    re.compile(rb"\+(?<=e\+)"),
    re.compile(rb"-(?<=e-)[0-9]{2,}(?:[],}]|$)"),
)
_MOST_LEVELS = 254
_ESCAPE = re.compile(r"\\(u0000|.)", re.DOTALL)
_NOT_STORABLE = re.compile(r"[\x00\ud800-\udfff]")


class NotJsonError(ValueError):
    """The bytes are not a JSON document in UTF-8."""


class TooDeepError(ValueError):
    """The document is nested more than 254 levels deep."""


@dataclass(frozen=True, slots=True)
class JsonText:
    """A document, and the text under which it is stored.

    `altered` means that the text differs in meaning from what arrived. `value` is the parsed text,
    so it can always be stored too. `is_canonical`: orjson writes the value as exactly this text,
    except for spaces between the tokens.
    """

    value: Any
    text: str
    altered: bool
    is_canonical: bool = field(default=False, compare=False)


def read_json(body: bytes) -> JsonText:
    """Parse an untrusted document. Raises only NotJsonError or TooDeepError."""
    try:
        value = orjson.loads(body)
        rendered = orjson.dumps(value)
    except orjson.JSONDecodeError:
        return read_json_in_parts(body)
    except orjson.JSONEncodeError as exc:
        raise TooDeepError from exc
    if _is_storable(rendered) and (rendered == body or rendered == _without_spaces(body)):
        return JsonText(value=value, text=body.decode(), altered=False, is_canonical=True)
    return read_json_in_parts(body)


def _without_spaces(body: bytes) -> bytes | None:
    """The document without spaces between its unchanged tokens; None if it is invalid."""
    try:
        return msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return None


def sanitize_text(text: str) -> str:
    """The same text, with everything that PostgreSQL and AMQP cannot store replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _NOT_STORABLE.sub(REPLACEMENT, text)


def _is_storable(rendered: bytes) -> bool:
    """Whether a compact document from orjson contains only what JSONB can store."""
    return not any(pattern.search(rendered) for pattern in _NOT_STORABLE_BYTES)


class _Reader:
    """Parses number by number and object by object, and notes what cannot be stored unchanged."""

    def __init__(self) -> None:
        self.altered = False

    def number(self, literal: str) -> float | str:
        if len(literal) <= _MOST_DIGITS:
            exponent = _EXPONENT.search(literal)
            value = float(literal)
            if (exponent is None or abs(int(exponent[1])) <= _LARGEST_EXPONENT) and isfinite(value):
                return value
        self.altered = True
        return literal

    def integer(self, literal: str) -> int | str:
        if len(literal) > _MOST_DIGITS:
            self.altered = True
            return literal
        return int(literal)

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            self.altered = True
        return members

    @staticmethod
    def constant(literal: str) -> None:
        raise NotJsonError(literal)


def read_json_in_parts(body: bytes) -> JsonText:
    """Parse a document of any spelling, number by number. Raises as `read_json` does."""
    reader = _Reader()
    try:
        text = body.decode()
        value = json.loads(
            text,
            parse_float=reader.number,
            parse_int=reader.integer,
            parse_constant=reader.constant,
            object_pairs_hook=reader.pairs,
        )
        rendered = _render(value)
    except RecursionError as exc:
        raise TooDeepError from exc
    except ValueError as exc:
        raise NotJsonError from exc
    if _is_too_deep(value):
        raise TooDeepError
    cleaned = _sanitize_rendered(rendered)
    if reader.altered or cleaned != rendered:
        # Parsed again, because two keys may have become equal.
        value = json.loads(cleaned)
        return JsonText(value=value, text=_render(value), altered=True)
    return JsonText(value=value, text=text, altered=False)


def _render(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_too_deep(value: Any) -> bool:
    """Whether it is nested more deeply than orjson reads and writes, level by level."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return any(isinstance(child, dict | list) for child in level)


def _sanitize_rendered(rendered: str) -> str:
    escapes_cleaned = _ESCAPE.sub(
        lambda match: REPLACEMENT if match[1] == "u0000" else match[0],
        rendered,
    )
    return sanitize_text(escapes_cleaned)
