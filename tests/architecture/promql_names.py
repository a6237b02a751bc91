"""Which series and labels a PromQL expression names. Good enough for our rules; not a parser."""

import re
from dataclasses import dataclass

_WORDS = frozenset(
    {"and", "or", "unless", "on", "ignoring", "by", "without", "group_left", "group_right"}
    | {"bool", "offset", "inf", "nan"}
)
_STRING = re.compile(r'([=~]?)"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_WINDOW = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^{}]*)\})?(?!\s*\()(?![\w:])")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Selector:
    """`values` are those that the matchers of a label spell out, each alternative apart."""

    metric: str
    values: dict[str, tuple[str, ...]]


def selectors(expression: str) -> list[Selector]:
    """Each series that is asked for, with the matchers of its labels."""
    text = _GROUPING.sub(" ", _WINDOW.sub(" ", _without_arguments(expression)))
    return [
        Selector(name, {label: _spelled(how, value) for label, how, value in _matchers(matchers)})
        for name, matchers in _SELECTOR.findall(text)
        if name not in _WORDS
    ]


def grouping_labels(expression: str) -> set[str]:
    """The labels by which it groups or matches."""
    inside = ",".join(_GROUPING.findall(expression))
    return {label.strip() for label in inside.split(",") if label.strip()}


def _matchers(text: str) -> list[tuple[str, str, str]]:
    return _MATCHER.findall(text)


def _spelled(how: str, value: str) -> tuple[str, ...]:
    return tuple(value.split("|")) if "~" in how else (value,)


def _without_arguments(expression: str) -> str:
    """Without the texts that no matcher compares with."""
    return _STRING.sub(lambda found: found[0] if found[1] else "", expression)
