"""Hides the secrets in a document. Pure; the document itself is not changed."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.redact_paths import (
    DEFAULTS,
    SECRET,
    KeyRule,
    KeyRules,
    Path,
    Rules,
    Way,
    fits,
    names_in,
    rules_in,
)
from ringback.contract.redaction.scrub import REDACTED, without_url_secrets
from ringback.contract.redaction.secret_names import (
    MARKS,
    MAX_NAME_LENGTH,
    Name,
    judge,
    may_be_secret,
)


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


_MAX_TEXTS_WITHIN_TEXTS = 8
_MAX_JUDGED = 2_000
_NUMBERS: tuple[type, ...] = (int, float, Digits)
_JSON_BEGINS = frozenset('{["')
_MAY_BEGIN_JSON = _JSON_BEGINS | frozenset(" \t\r\n")
_NAME_KEYS = ("name", "key", "header")


class Walk:
    """One pass over a document. Each method returns the same object if nothing is hidden."""

    __slots__ = ("_by_key", "_judged", "_texts_within", "hidden")

    def __init__(self, by_key: KeyRules) -> None:
        self.hidden: list[str] = []
        self._by_key = by_key
        self._judged = 0
        self._texts_within = 0

    def value(self, value: Any, way: Way) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, way)
        if kind is list:
            return self._list(value, way)
        return self._string(value, way) if kind is str else value

    def _object(  # ruff: ignore[complex-structure]  # each call within this loop would show
        self, members: dict[str, Any], way: Way
    ) -> dict[str, Any]:
        known, may_begin_json, changed = self._by_key.known, _MAY_BEGIN_JSON, members
        new: Any
        for key, child in members.items():
            try:
                rule = known[key]
            except KeyError:
                rule = self._find(key)
            kind = type(child)
            if rule is not None and (
                rule is SECRET or self._is_hidden(rule, child, (key, way), members)
            ):
                # A boolean under the name of a secret describes the secret.
                if child is None or (kind is bool and rule is SECRET):
                    continue
                new = self._hide(child, (key, way))
            elif kind is str:
                # Most values are short texts without secrets: skip the call for those.
                if ("://" not in child or ("=" not in child and "@" not in child)) and (
                    not child or child[0] not in may_begin_json
                ):
                    continue
                new = self._string(child, (key, way))
            elif kind is dict:
                new = self._object(child, (key, way))
            elif kind is list:
                new = self._list(child, (key, way))
            else:
                continue
            if new is not child:
                changed = dict(members) if changed is members else changed
                changed[key] = new
        return changed

    def _list(self, items: list[Any], way: Way) -> list[Any]:
        of_items, changed = self._by_key.of_items, items
        new: Any
        for index, child in enumerate(items):
            kind = type(child)
            if of_items and self._is_among(of_items, (index, way)):
                new = self._hide(child, (index, way))
            elif kind is dict:
                new = self._object(child, (index, way))
            elif kind is list:
                new = self._list(child, (index, way))
            elif kind is str:
                new = self._string(child, (index, way))
            else:
                continue
            if new is not child:
                changed = list(items) if changed is items else changed
                changed[index] = new
        return changed

    def _is_hidden(self, rule: KeyRule, child: Any, way: Way, members: Mapping[str, Any]) -> bool:
        if rule.excepts and self._is_among(rule.excepts, way):
            return False
        if rule.paths and self._is_among(rule.paths, way):
            return True
        name = self._name_beside(members) if rule.is_value else rule.name
        if name is Name.ORDINARY or type(child) is bool:
            return False
        return name is Name.SECRET or not isinstance(child, _NUMBERS)

    def _name_beside(self, members: Mapping[str, Any]) -> Name:
        texts = [text for key in _NAME_KEYS if isinstance(text := members.get(key), str)]
        named = (self._name_of(text) for text in texts)
        return next((name for name in named if name is not Name.ORDINARY), Name.ORDINARY)

    def _name_of(self, name: str) -> Name:
        rule = self._find(name)
        return Name.ORDINARY if rule is None else rule.name

    def _find(self, key: str) -> KeyRule | None:
        return self._by_key.find(key, self._judge, remember=self._judged < _MAX_JUDGED)

    def _judge(self, name: str) -> Name:
        """Check exactly, but only quickly after many names in one document, to save time."""
        self._judged += 1
        name = name[-MAX_NAME_LENGTH:]
        if self._judged <= _MAX_JUDGED:
            return judge(name)
        return Name.SECRET if may_be_secret(name) else Name.ORDINARY

    @staticmethod
    def _is_among(paths: tuple[Path, ...], way: Way) -> bool:
        return any(fits(path, way) for path in paths)

    def _hide(self, value: Any, way: Way) -> Any:
        kind = type(value)
        if kind is str:
            self._remember(value)
        elif kind is dict:
            return self._hide_object(value, way)
        elif kind is list:
            items = []
            for index, child in enumerate(value):
                items.append(self._hide(child, (index, way)))
            return items
        elif value is None:
            return None
        elif kind is not bool:
            self.hidden.append(str(value))
        return REDACTED

    def _hide_object(self, members: dict[str, Any], way: Way) -> dict[str, Any]:
        hidden = {}
        for key, child in members.items():
            rule, here = self._find(key), (key, way)
            is_kept = rule is not None and self._is_among(rule.excepts, here)
            hidden[key] = self.value(child, here) if is_kept else self._hide(child, here)
        return hidden

    def _remember(self, text: str) -> None:
        """Record what is hidden, and if it is JSON also the texts in it."""
        if text in {"", REDACTED}:
            return
        self.hidden.append(text)
        if text[0] not in _JSON_BEGINS:
            return
        with suppress(ValueError, RecursionError):
            self._hide(read(text)[0], None)

    def _string(self, text: str, way: Way) -> str:
        if text.lstrip()[:1] in _JSON_BEGINS:
            try:
                return self._json(text, way)
            except (RecursionError, orjson.JSONEncodeError):
                # It is nested too deeply to search, or cannot be written again.
                self.hidden.append(text)
                return REDACTED
            except ValueError:
                pass
        if self._by_key.in_urls and "://" in text:
            return without_url_secrets(text, self.hidden, self._name_of)
        return text

    def _json(self, text: str, way: Way) -> str:
        if self._texts_within == _MAX_TEXTS_WITHIN_TEXTS:
            raise RecursionError
        value, is_ambiguous = read(text)
        self._texts_within += 1
        try:
            new = self.value(value, way)
        finally:
            self._texts_within -= 1
        return text if new is value and not is_ambiguous else written(new)


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
        if document.is_canonical:
            return orjson.dumps(value).decode()
        # The value contains numbers as Python rounds them; here each keeps its own digits.
        exact, _ = read_exactly(document.text)
        return written(Walk(self._by_key).value(exact, None))


def redaction_by(text: str) -> Redaction:
    """Return the redaction that a setting describes. Raises BadPathError."""
    return Redaction(rules_in(text))


DEFAULT_REDACTION = redaction_by(DEFAULTS)
