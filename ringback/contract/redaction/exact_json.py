"""Read and write JSON without changing the digits of its numbers."""

import json
from collections.abc import Callable
from typing import Any

import orjson


class Digits:
    """A number as it was written, of any length."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def read(text: str) -> tuple[Any, bool]:
    """Parse JSON and report whether an object has two equal keys, so that a value is lost.

    Numbers keep their digits. Raises ValueError or RecursionError.
    """
    try:
        value = orjson.loads(text)
        if orjson.dumps(value) == text.encode():
            return value, False
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, UnicodeEncodeError):
        pass
    return read_exactly(text)


def read_exactly(text: str) -> tuple[Any, bool]:
    """Parse JSON in any spelling, as `read` does. Raises ValueError or RecursionError."""
    try:
        return _UNIQUE_KEYS.decode(text), False
    except _EqualKeysError:
        return _ANY_KEYS.decode(text), True


class _EqualKeysError(Exception):
    """An object has two equal keys."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _EqualKeysError
    return members


def _decoder(members: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        strict=False,
        parse_float=Digits,
        parse_int=Digits,
        parse_constant=Digits,
        object_pairs_hook=members,
    )


_UNIQUE_KEYS, _ANY_KEYS = _decoder(_members), _decoder(dict)


def written(value: Any) -> str:
    """Write JSON; `Digits` are unchanged. Raises orjson.JSONEncodeError."""
    return orjson.dumps(value, default=lambda digits: orjson.Fragment(str(digits))).decode()
