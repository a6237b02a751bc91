"""Decides from a key whether its value is hidden, and caches the decision."""

from collections.abc import Callable
from typing import NamedTuple

from ringback.contract.redaction.redact_paths import ANY, Path, Rules, may_end_in
from ringback.contract.redaction.secret_names import Name, flat

_MAX_KEYS = 5_000
_MAX_KEY_LENGTH = 64
#: `{"name": "api_key", "value": "..."}`: the kind of value is in the field beside it.
_VALUE_KEY = "value"


class KeyRule(NamedTuple):
    """What a key reveals about its value. An ordinary key has no rule."""

    name: Name
    paths: tuple[Path, ...]
    excepts: tuple[Path, ...]
    is_value: bool


_NO_RULE = KeyRule(Name.ORDINARY, (), (), is_value=False)
SECRET = KeyRule(Name.SECRET, (), (), is_value=False)
_SHARED: dict[KeyRule, KeyRule | None] = {_NO_RULE: None, SECRET: SECRET}


class KeyRules:
    """The rule of each key. It is cached, because events use only a few hundred keys."""

    def __init__(self, rules: Rules) -> None:
        self.known: dict[str, KeyRule | None] = {}
        self.of_items = tuple(path for path in rules.paths if path[-1] == ANY)
        self.in_urls = rules.by_name
        self._rules = rules

    def find(self, key: str, judge: Callable[[str], Name], *, remember: bool) -> KeyRule | None:
        if key in self.known:
            return self.known[key]
        rules = self._rules
        rule = KeyRule(
            judge(key) if rules.by_name else Name.ORDINARY,
            tuple(path for path in rules.paths if may_end_in(path, key)),
            tuple(path for path in rules.excepts if may_end_in(path, key)),
            is_value=rules.by_name and flat(key) == _VALUE_KEY,
        )
        shared = _SHARED.get(rule, rule)
        if remember and len(key) <= _MAX_KEY_LENGTH:
            if len(self.known) >= _MAX_KEYS:
                self.known.clear()
            self.known[key] = shared
        return shared
