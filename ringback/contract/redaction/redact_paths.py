"""Parses the setting that lists which values of an event are hidden.

A path is names separated by dots, and matches any position in an event that ends with it:
`customer.number` is each `number` within a `customer`. Case, `_` and `-` are ignored in names.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ringback.contract.redaction.secret_names import Name, flat

ANY = "*"
ANY_DEPTH = "**"
DEFAULTS = "defaults"
NONE = "none"
EXCEPT = "-"

_MAX_SEGMENTS = 20
_SEGMENT = re.compile(r"\*\*|\*|[^*\s]+\*?")

Path = tuple[str, ...]

#: The keys and indices that lead to a value, last one first: `("number", ("customer", None))`.
Way = tuple[str | int, "Way"] | None


class BadPathError(ValueError):
    """The text is not a list of paths. The message names the wrong path and the reason."""


@dataclass(frozen=True)
class Rules:
    """What to hide: secrets by name, and `paths`. `excepts` override both."""

    by_name: bool
    paths: tuple[Path, ...] = ()
    excepts: tuple[Path, ...] = ()

    @cached_property
    def is_empty(self) -> bool:
        return not self.by_name and not self.paths


def rules_in(text: str) -> Rules:
    """Parse paths separated by commas. The word `defaults` means secrets by name.

    A path after `-` is an exception. `none` alone hides nothing. Raises BadPathError.
    """
    words = [word.strip() for word in text.split(",")]
    if words == [NONE]:
        return Rules(by_name=False)
    listed = [word for word in words if word != DEFAULTS]
    excepts = tuple(_path(word[1:]) for word in listed if word.startswith(EXCEPT))
    paths = tuple(_path(word) for word in listed if not word.startswith(EXCEPT))
    if len(excepts) == len(words):
        raise BadPathError(f"has only exceptions; put {DEFAULTS} before them")
    return Rules(by_name=DEFAULTS in words, paths=paths, excepts=excepts)


def may_end_in(path: Path, key: str) -> bool:
    """Whether the path can match a value under this key, whatever leads to it."""
    return _matches(path[-1], key)


def fits(path: Path, way: Way) -> bool:
    """Whether the way to a value ends with the path. Indices match only `*`."""
    left = _open(path, {len(path)})
    while 0 not in left:
        if way is None:
            return False
        key, way = way
        stays = {count for count in left if isinstance(key, int) or path[count - 1] == ANY_DEPTH}
        left = _open(path, stays | {count - 1 for count in left if _matches(path[count - 1], key)})
    return True


def _open(path: Path, left: set[int]) -> set[int]:
    """Add the paths in which `**` matches nothing. A number is the count of remaining segments."""
    found = set(left)
    for count in range(max(left, default=0), 0, -1):
        if count in found and path[count - 1] == ANY_DEPTH:
            found.add(count - 1)
    return found


def names_in(paths: tuple[Path, ...]) -> Iterator[str]:
    """The last name of each path, or the whole path if that is `*`."""
    for path in paths:
        yield from (flat(segment) for segment in path[-1:] if segment.strip(ANY))


def _matches(segment: str, key: str | int) -> bool:
    if segment == ANY:
        return True
    if isinstance(key, int) or segment == ANY_DEPTH:
        return False
    if segment.endswith(ANY):
        return flat(key).startswith(flat(segment))
    return key == segment or flat(key) == flat(segment)


def _path(text: str) -> Path:
    path = tuple(text.split("."))
    if not text:
        raise BadPathError("has an empty path: is there a comma too many?")
    if text in {NONE, DEFAULTS}:
        raise BadPathError(f"has the word {text} in a place where only a path can be")
    bad = next((segment for segment in path if not _SEGMENT.fullmatch(segment)), None)
    if bad is not None:
        raise BadPathError(
            f"has the path {text!r}, whose segment {bad!r} is not valid: "
            "use a name, a name with * at its end, * or **"
        )
    if path[-1] == ANY_DEPTH:
        raise BadPathError(f"has the path {text!r}; after ** there must be a name or *")
    if len(path) > _MAX_SEGMENTS:
        raise BadPathError(f"has a path of more than {_MAX_SEGMENTS} segments")
    return path


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
