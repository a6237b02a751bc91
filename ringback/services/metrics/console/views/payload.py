"""An event as lines to show: exactly as it is stored, and no more than a page should have.

Only the text is read, token by token. Numbers keep their digits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ringback.contract.json_text import REPLACEMENT
from ringback.contract.redaction.scrub import REDACTED
from ringback.contract.redaction.secret_names import Name, judge

MAX_CHARS = 65_536
MAX_LINES = 2_000
MAX_MARKS = 1_000
"""Characters that nobody can see. Each needs a hundred bytes in a page."""

MAX_DEPTH = 32
"""Deeper values are shown in one line."""

BY_NAME = "Hidden: this name is one of a credential (defaults in RINGBACK_REDACT_PATHS)."
BY_PATH = "Hidden by RINGBACK_REDACT_PATHS: by a path, or by the name beside it."
IN_TEXT = "Hidden: a credential within a text, as in a URL."
ALTERED_TEXT = "Altered: the database cannot store this character."
ALTERED_NUMBER = "Altered: the database cannot store this number; it is a text here."

_TOKEN = re.compile(r'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:,]|[^\s"\[\]{}:,]+)', re.DOTALL)
_MARKED = re.compile(f"({re.escape(REDACTED)}|{REPLACEMENT})")
_LARGE_NUMBER = re.compile(r'"-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?"')
_MANY_DIGITS = 300
_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a value. `rule` says why it is not what arrived; empty if it is."""

    text: str
    rule: str = ""


@dataclass(slots=True)
class Line:
    """`open` begins an object or a list, `close` ends it; all others are values.

    `name` is the key as it is written, with its quotes; empty in a list. Of an `open` line `count`
    is the number of its members; None if not all are shown.
    """

    kind: str
    depth: int
    name: str
    pieces: tuple[Piece, ...]
    count: int | None = 0


@dataclass(frozen=True, slots=True)
class Payload:
    """`is_cut`: the event has more than `lines`. `size` is in bytes of UTF-8."""

    lines: list[Line]
    is_cut: bool
    size: int


def payload_of(text: str, *, is_altered: bool = False) -> Payload:
    """Lay out the JSON text of an event. Never raises; stops where the text is no JSON."""
    shown = _beginning(text)
    layout = _Layout(shown, is_altered=is_altered)
    position = 0
    while len(layout.lines) < MAX_LINES and (found := _TOKEN.match(shown, position)):
        position = found.end()
        layout.add(found[1], found.start(1), position)
    is_cut = bool(text[position:].strip())
    layout.finish(shown[position:] if is_cut and len(layout.lines) < MAX_LINES else "")
    return Payload(layout.lines, is_cut, len(text.encode(errors="replace")))


def _beginning(text: str) -> str:
    text = text[:MAX_CHARS]
    if text.isprintable():
        return text
    hidden = (index for index, char in enumerate(text) if not char.isprintable())
    return text[: next((at for count, at in enumerate(hidden) if count == MAX_MARKS), len(text))]


class _Layout:
    """The lines of a text so far."""

    def __init__(self, text: str, *, is_altered: bool) -> None:
        self.lines: list[Line] = []
        self._text = text
        self._is_altered = is_altered
        self._parents: list[Line] = []
        #: For each of them, whether its name or one above it is that of a credential.
        self._named: list[bool] = []
        self._name = ""
        #: Where a value that is too deep begins, and how many brackets of it are open.
        self._deep_from = self._deep = 0

    def add(self, token: str, start: int, end: int) -> None:
        if self._deep:
            self._deep += (token in _CLOSING) - (token in _CLOSING.values())
            if not self._deep:
                self._value((Piece(self._text[self._deep_from : end]),))
        elif token in _CLOSING:
            self._open(token, start)
        elif token in _CLOSING.values():
            self._close(token)
        elif token in {",", ":"}:
            return
        elif self._parents and self._parents[-1].pieces[0].text == "{" and not self._name:
            self._name = token
        else:
            self._value(tuple(self._pieces(token)))

    def finish(self, rest: str) -> None:
        """Show the `rest`, which is a part of a token, and close what is still open."""
        if self._deep:
            self._value((Piece(self._text[self._deep_from :]),))
        elif rest.strip():
            self._value((Piece(rest.strip()),))
        while self._parents:
            self._parents[-1].count = None
            self._close(_CLOSING[self._parents[-1].pieces[0].text])

    def _open(self, bracket: str, start: int) -> None:
        if len(self._parents) >= MAX_DEPTH:
            self._deep_from, self._deep = start, 1
            return
        self._named.append(self._is_named())
        self._parents.append(self._line("open", (Piece(bracket),)))

    def _close(self, bracket: str) -> None:
        if not self._parents:
            return
        begun = self._parents.pop()
        self._named.pop()
        self._name = ""
        if begun is self.lines[-1] and begun.count == 0:
            begun.kind, begun.pieces = "value", (Piece(begun.pieces[0].text + bracket),)
        else:
            self.lines.append(Line("close", begun.depth, "", (Piece(bracket),)))

    def _value(self, pieces: tuple[Piece, ...]) -> None:
        self._line("value", pieces)

    def _line(self, kind: str, pieces: tuple[Piece, ...]) -> Line:
        if self._parents and (count := self._parents[-1].count) is not None:
            self._parents[-1].count = count + 1
        line = Line(kind, len(self._parents), self._name, pieces)
        self.lines.append(line)
        self._name = ""
        return line

    def _pieces(self, token: str) -> Iterator[Piece]:
        if self._is_altered and _is_stored_as_text(token):
            yield Piece(token, ALTERED_NUMBER)
            return
        for text in _MARKED.split(token):
            if text == REDACTED:
                yield Piece(text, self._rule(token))
            elif text:
                is_altered = self._is_altered and text == REPLACEMENT
                yield Piece(text, ALTERED_TEXT if is_altered else "")

    def _rule(self, token: str) -> str:
        if token != f'"{REDACTED}"':
            return IN_TEXT
        return BY_NAME if self._is_named() else BY_PATH

    def _is_named(self) -> bool:
        is_above = bool(self._named) and self._named[-1]
        return is_above or judge(self._name[1:-1]) is not Name.ORDINARY


def _is_stored_as_text(token: str) -> bool:
    """Whether a text is a number that JSONB would print with hundreds of digits."""
    if not _LARGE_NUMBER.fullmatch(token):
        return False
    return "e" in token.lower() or len(token) > _MANY_DIGITS
