"""Hides in a document what stands at the listed paths. Pure; the document itself stays as it is."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.path_states import State, first_state
from ringback.contract.redaction.redact_paths import DEFAULTS, Path, paths_in

REDACTED = "[redacted by Ringback]"
"""Stands in the place of each hidden value."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A document as it may be written down and shown; `hidden` are the texts that it lacks."""

    value: Any
    text: str
    altered: bool
    hidden: tuple[str, ...]


class Redaction:
    def __init__(self, paths: tuple[Path, ...]) -> None:
        """Raises BadPathError where the paths are too entangled."""
        self._first = first_state(paths)
        self._names = tuple(
            segment.rstrip("*").encode() for path in paths for segment in path if segment.strip("*")
        )

    def of(self, document: JsonText) -> Redacted:
        """The document without the values at the paths; of an object or a list all within it.

        Their keys and shapes stay, and so does null. All else stays as it is, to the last digit.
        """
        hidden: list[str] = []
        value = _walk(document.value, self._first, hidden)
        if value is document.value:
            return Redacted(value, document.text, document.altered, ())
        text = self._text(document, value)
        return Redacted(value, text, document.altered, tuple(dict.fromkeys(hidden)))

    def may_be_in(self, body: bytes) -> bool:
        """Whether bytes of any kind, JSON or not, name something that a path names.

        Escaped letters may spell any name.
        """
        return b"\\u" in body or any(name in body for name in self._names)

    def _text(self, document: JsonText, value: Any) -> str:
        if _is_as_orjson_writes(document):
            return orjson.dumps(value).decode()
        # The value holds numbers as Python rounds them; here each keeps its own digits.
        exact = json.loads(document.text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        return orjson.dumps(_walk(exact, self._first, [])).decode()


def redaction_by(text: str) -> Redaction:
    """The redaction that a list of paths asks for. Raises BadPathError."""
    return Redaction(paths_in(text))


DEFAULT_REDACTION = redaction_by(DEFAULTS)

_NESTED = frozenset({dict, list})


def _walk(value: Any, state: State, hidden: list[str]) -> Any:
    """The same object where nothing is to be hidden, else a copy of what leads to it."""
    if state.is_final:
        return _hide(value, hidden)
    if type(value) is dict:
        return _walk_object(value, state, hidden)
    if type(value) is list and state.other is not None:
        return _walk_list(value, state.other, hidden)
    return value


def _walk_object(members: dict[str, Any], state: State, hidden: list[str]) -> dict[str, Any]:
    by_key, changed = state.by_key, members
    for key, child in members.items():
        there = by_key[key] if key in by_key else state.after(key)
        # Most values are texts on the way to nothing: no call for those.
        if there is None or not (there.is_final or type(child) in _NESTED):
            continue
        new = _walk(child, there, hidden)
        if new is not child:
            changed = dict(members) if changed is members else changed
            changed[key] = new
    return changed


def _walk_list(items: list[Any], there: State, hidden: list[str]) -> list[Any]:
    changed = items
    for index, child in enumerate(items):
        if not (there.is_final or type(child) in _NESTED):
            continue
        new = _walk(child, there, hidden)
        if new is not child:
            changed = list(items) if changed is items else changed
            changed[index] = new
    return changed


def _hide(value: Any, hidden: list[str]) -> Any:
    match value:
        case dict():
            return {key: _hide(child, hidden) for key, child in value.items()}
        case list():
            return [_hide(child, hidden) for child in value]
        case None:
            return None
        case str() if value == REDACTED:
            return value
        case str():
            hidden.append(value)
        case int() | float() if not isinstance(value, bool):
            hidden.append(str(value))
    return REDACTED


def _is_as_orjson_writes(document: JsonText) -> bool:
    try:
        return orjson.dumps(document.value) == document.text.encode()
    except orjson.JSONEncodeError:
        return False
