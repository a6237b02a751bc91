"""Finds the method for a REST request, by the methods' `google.api.http` options."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.methods import Method

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class HttpRule:
    """`template` is a path such as `/deliveries/{job_id}:retry`; a variable is a field.

    The other fields are in the body if `has_body`, else in the query.
    """

    verb: str
    template: str
    variables: tuple[str, ...]
    has_body: bool

    @property
    def literal(self) -> str:
        """The template without its variables."""
        return _VARIABLE.sub("", self.template)

    @property
    def shape(self) -> re.Pattern[str]:
        return path_pattern(self.template)


def path_pattern(template: str) -> re.Pattern[str]:
    """The pattern of a percent-encoded path. A variable is one segment, or a part of one."""
    pieces = _VARIABLE.split(template)
    return re.compile(
        "".join(
            f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def http_rule(method: Method) -> HttpRule:
    """Raises CannotStartError when the contract uses an option that is not supported here."""
    rule = method.http_rule
    verb = rule.WhichOneof("pattern") or ""
    template = getattr(rule, verb, "")
    variables = tuple(_VARIABLE.findall(template))
    fields = method.request_class.DESCRIPTOR.fields_by_name
    if (
        (verb, rule.body) not in {("get", ""), ("post", "*")}
        or rule.additional_bindings
        or rule.response_body
        or "{" in _VARIABLE.sub("", template)
        or not all(name in fields for name in variables)
    ):
        raise CannotStartError(
            f"The HTTP rule of {method.full_name} in protos/ is not supported: use only get, or "
            "post with the body '*', and variables that are fields of the request."
        )
    return HttpRule(verb.upper(), template, variables, has_body=rule.body == "*")


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
        # A path without variables has priority.
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
