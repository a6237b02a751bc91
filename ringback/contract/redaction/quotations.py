"""Removes hidden values from a text that may quote them, such as an error message."""

import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from ringback.contract.redaction.mark import REDACTED

_SHORTEST = 4
"""Shorter values reveal little, and removing them would cut up any text."""

_END = 8
"""This much of the beginning or end of a value counts as a quotation, because texts are cut."""


def without_quotations(text: str, hidden: Sequence[str]) -> str:
    """The text without the hidden values, whole or cut, raw or as a program prints them."""
    for value in sorted(_written(hidden), key=len, reverse=True):
        text = text.replace(value, REDACTED)
        if len(value) > _END:
            text = _without_beginnings(text, value)
            text = _without_beginnings(text[::-1], value[::-1], REDACTED[::-1])[::-1]
    return text


def _written(hidden: Sequence[str]) -> Iterator[str]:
    for value in hidden:
        if len(value) >= _SHORTEST:
            yield from {
                value,
                repr(value)[1:-1],
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                quote(value, errors="replace"),
                quote(value, safe="", errors="replace"),
            }


def _without_beginnings(text: str, value: str, redacted: str = REDACTED) -> str:
    beginning = value[:_END]
    parts, start = [], 0
    while (at := text.find(beginning, start)) >= 0:
        end = at + _END
        while end < len(text) and end - at < len(value) and text[end] == value[end - at]:
            end += 1
        parts += [text[start:at], redacted]
        start = end
    return "".join([*parts, text[start:]])
