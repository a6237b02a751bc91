"""Untrusted values in every text of an answer."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ringback.local.console import never_fail_to_encode
from ringback.metrics.message_field import descriptor_of, is_part, is_time, map_value
from ringback.metrics.v1.annotations_pb2 import json_text
from tests.unit.cli.metrics_answers import at

FORGED = "FORGED"
MARKUP = "[/x][bold red][link=http://evil.example]ok[/link]"
ESCAPES = "\x1b[31m\x1b]8;;http://evil.example\x1b\\\x9b2J\x07\x00\x7f"
DIRECTIONS = "\u202e\u2066\u2028\u200b"
HOSTILE = f"{MARKUP} :smile: {ESCAPES}{DIRECTIONS}\u6f22\r\n{FORGED}\n{FORGED}"
LONG = "w" * 10_000
LEFT = {char for char in ESCAPES + DIRECTIONS if not char.isprintable()}
_ITEMS = 2
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def hostile(message: Message, text: str = HOSTILE, *, deep: int = 4) -> Message:
    """The same message with every text hostile, every list filled and every number set."""
    for field in descriptor_of(message).fields:
        if map_value(field) is not None:
            hostile(getattr(message, field.name)[text], text, deep=deep - 1)
        elif field.is_repeated and is_part(field):
            while deep and len(getattr(message, field.name)) < _ITEMS:
                hostile(getattr(message, field.name).add(), text, deep=deep - 1)
        elif is_time(field):
            getattr(message, field.name).CopyFrom(at(1))
        elif is_part(field):
            if deep:
                hostile(getattr(message, field.name), text, deep=deep - 1)
        else:
            is_json = field.GetOptions().Extensions[json_text]
            value = orjson.dumps({"type": text}).decode() if is_json else _value(field, text)
            setattr(message, field.name, value)
    return message


def _value(field: FieldDescriptor, text: str) -> Any:
    kinds: dict[int, Any] = {
        FieldDescriptor.TYPE_STRING: text,
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_DOUBLE: 1.5,
        FieldDescriptor.TYPE_ENUM: 1,
    }
    return kinds.get(field.type, 7)


def forgeries(printed: str) -> Iterator[str]:
    """Text that could pass for the command's own output: lines, control characters, links."""
    for char in sorted(LEFT & set(printed)):
        yield f"the character {char!r} came through"
    for line in printed.splitlines():
        if line.strip().startswith(FORGED):
            yield f"a line of its own: {line[:80]!r}"


class Printing:
    """Runs something on terminals of one encoding, and returns its result and its output."""

    def __init__(self, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._encoding = encoding
        self._monkeypatch = monkeypatch

    def __call__(self, act: Callable[[], object]) -> tuple[object, str, str]:
        written = [io.BytesIO(), io.BytesIO()]
        with self._monkeypatch.context() as patch:
            for name, raw in zip(("stdout", "stderr"), written, strict=True):
                patch.setattr(sys, name, io.TextIOWrapper(raw, self._encoding, write_through=True))
            never_fail_to_encode()
            returned = act()
            told, complaint = (raw.getvalue().decode(self._encoding) for raw in written)
        return returned, told, complaint


def assert_harmless(text: str, *, shows: str = MARKUP) -> None:
    plain = _STYLE.sub("", text)
    assert not list(forgeries(plain))
    assert shows in plain
