"""Walks through a document once and hides the secrets in it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from ringback.contract.redaction.exact_json import Digits, read, written
from ringback.contract.redaction.key_rules import SECRET, KeyRule, KeyRules
from ringback.contract.redaction.mark import REDACTED
from ringback.contract.redaction.redact_paths import Path, Way, fits
from ringback.contract.redaction.secret_names import Name, judge, may_be_secret
from ringback.contract.redaction.secret_urls import without_url_secrets

_MAX_TEXTS_WITHIN_TEXTS = 8
_MAX_JUDGED = 2_000
_MAX_NAME_LENGTH = 200
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
        name = name[-_MAX_NAME_LENGTH:]
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
