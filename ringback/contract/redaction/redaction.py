"""Hides the secrets in a document. Pure; the document itself is not changed."""

from dataclasses import dataclass
from typing import Any

import orjson

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.exact_json import read_exactly, written
from ringback.contract.redaction.key_rules import KeyRules
from ringback.contract.redaction.redact_paths import DEFAULTS, Rules, names_in, rules_in
from ringback.contract.redaction.secret_names import MARKS
from ringback.contract.redaction.walk import Walk


@dataclass(frozen=True, slots=True)
class Redacted:
    """A document that may be stored and shown; `hidden` contains the removed texts."""

    value: Any
    text: str
    altered: bool
    hidden: tuple[str, ...]


class Redaction:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._by_key = KeyRules(rules)

    def of(self, document: JsonText) -> Redacted:
        """Return the document without the secrets; a hidden object or list is hidden entirely.

        Keys, shapes and nulls stay. Everything else is unchanged, to the last digit.
        """
        if self._rules.is_empty:
            return Redacted(document.value, document.text, document.altered, ())
        walk = Walk(self._by_key)
        value = walk.value(document.value, None)
        if value is document.value:
            return Redacted(value, document.text, document.altered, ())
        text = self._text(document, value)
        return Redacted(value, text, document.altered, tuple(dict.fromkeys(walk.hidden)))

    def may_be_in(self, body: bytes) -> bool:
        """Whether any bytes, JSON or not, name a secret. Escaped letters may spell any name."""
        if self._rules.is_empty:
            return False
        text = body.lower().translate(None, b"_- \0").decode("latin-1")
        marks = {"\\u", *names_in(self._rules.paths)}
        if self._rules.by_name:
            marks |= MARKS | {"://"}
        return any(mark in text for mark in marks)

    def _text(self, document: JsonText, value: Any) -> str:
        if document.is_compact:
            return orjson.dumps(value).decode()
        # The value contains numbers as Python rounds them; here each keeps its own digits.
        exact, _ = read_exactly(document.text)
        return written(Walk(self._by_key).value(exact, None))


def redaction_by(text: str) -> Redaction:
    """Return the redaction that a setting describes. Raises BadPathError."""
    return Redaction(rules_in(text))


DEFAULT_REDACTION = redaction_by(DEFAULTS)
