"""Find the method for a request's verb and path."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from services.metrics.api.http_rule import HttpRule, http_rule
from services.metrics.api.methods import Method


@dataclass(frozen=True, slots=True)
class Route:
    """A method, its rule, and the decoded variables of the path."""

    method: Method
    rule: HttpRule
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoSuchPath:
    pass


@dataclass(frozen=True, slots=True)
class WrongVerb:
    """`allowed` are the verbs that the path accepts."""

    allowed: tuple[str, ...]


Found = Route | NoSuchPath | WrongVerb


class RestRoutes:
    """Raises CannotStartError for a method whose rule is unsupported."""

    def __init__(self, methods: Iterable[Method]) -> None:
        rules = [(method, http_rule(method)) for method in methods]
        # A path without variables is found first.
        rules.sort(key=lambda each: len(each[1].variables))
        self._known = [(method, rule, rule.shape) for method, rule in rules]

    def find(self, verb: str, raw_path: str) -> Found:
        """`raw_path` is percent-encoded. HEAD acts as GET for a method with one answer."""
        fitting = [
            (method, rule, match)
            for method, rule, shape in self._known
            if (match := shape.fullmatch(raw_path))
        ]
        if not fitting:
            return NoSuchPath()
        # A verb such as `:run` is not part of a job id, so the rule that names it wins.
        longest = max(len(rule.literal) for _, rule, _ in fitting)
        fitting = [each for each in fitting if len(each[1].literal) == longest]
        for method, rule, match in fitting:
            if verb in _verbs(method, rule):
                return Route(method, rule, _decoded(match))
        verbs = {each for method, rule, _ in fitting for each in _verbs(method, rule)}
        return WrongVerb(tuple(sorted(verbs)))


def _verbs(method: Method, rule: HttpRule) -> tuple[str, ...]:
    has_head = rule.verb == "GET" and not method.is_server_streaming
    return ("GET", "HEAD") if has_head else (rule.verb,)


def _decoded(match: re.Match[str]) -> dict[str, str]:
    return {name: unquote(text) for name, text in match.groupdict().items()}
